"""The simulated company and the story that is played on a real lake. The engine knows nothing of it."""
