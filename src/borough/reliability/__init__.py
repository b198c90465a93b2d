"""State machines of reliable work: they decide over values, time is an argument, the edges act."""
