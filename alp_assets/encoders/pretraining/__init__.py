"""How ALP's own encoder is made: synthesized machine sound, a contrast to learn from, the card of the weights."""
