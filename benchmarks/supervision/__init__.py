"""Actors beside their peers: Pykka as shipped, Thespian, xoscar and Erlang/OTP, in one run."""
