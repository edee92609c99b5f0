"""The doors through which requests and tasks are seen: one module for each server interface and framework.

Each imports its framework, and nothing else of Beamlens does. A door that is installed while nobody watches
``requests`` lets the application through at the cost of one look at a variable. Exceptions that a framework catches
go to ``exception`` through it, if that is watched.
"""
