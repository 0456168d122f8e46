"""ALP: from a customer's zip of machine recordings to an anomaly detector for every machine in it."""
