"""Programs of eager PyTorch as their users write them: scripts that know nothing of this package.

Each can be run by itself, takes its sizes as arguments, and gives the same numbers every time. What `dvm bench eager`
(eager_programs.py) asks of one: `arguments(given)` parses what is written on the command line, `prepare(args)` makes a
function that goes one step further and returns a number to compare, `main(args)` does `args.steps` of these.
"""
