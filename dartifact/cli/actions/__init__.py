"""What the verbs do: each module imports the part of the engine that its verbs stand on."""
