"""From a float model to an int8 one that decides alike: ranges, what stays in float, and how far off the result is."""
