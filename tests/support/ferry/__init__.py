"""An application whose bodies take their time in every way there is: for stops in the middle of them."""
