"""The cage that the process of an instance enters after its fork: what its code can reach, use and leave behind."""
