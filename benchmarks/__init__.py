"""Speed, measured as shares of a floor that is measured in the same run."""
