"""Methods that ask for the loss more than once a step: a direction and a search, in one loop."""
