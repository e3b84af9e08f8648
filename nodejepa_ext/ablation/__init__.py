"""Arms paired by seed, the rows they leave, and what these show."""
