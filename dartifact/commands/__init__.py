"""Policy and the order of steps, over adapters. `stack` is what every command is given."""
