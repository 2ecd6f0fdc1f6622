"""What the verbs and the pages answer: typed documents of plain JSON values, a module for each subject."""
