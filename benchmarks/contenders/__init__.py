"""One file for each contender: how somebody who knows that library well would write the work."""
