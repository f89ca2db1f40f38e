"""`callboard dev`: a house in one terminal, whose chains are told as they happen and whose code is taken up as it is saved."""
