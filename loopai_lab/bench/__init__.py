"""The bench: measures this package beside its floors and its peers, in one run and on the same work.

An *arm* is one way to do the work, measured again and again in turn with the others. What the arms are made of lives in
`floors`, `peers`, `ours` and `poolcost`; `arms` lists them, `instrument` runs them by the rules of `measure`,
`readings` compares, `targets` judges, and `tables`, `benchpage` and `report` show. Nothing here is imported by the rest
of the package but by the command line.
"""
