"""What the verbs tell a person: documents and results as text, a module for each subject."""
