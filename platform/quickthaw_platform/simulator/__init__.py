"""A cluster in simulated time: the code that decides is production's, only time and hardware are not."""
