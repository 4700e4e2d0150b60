"""How good a model is, and where it fails: figures with intervals, curves, the worst errors, two models compared.

Contract: `measure` looks at labelled pictures through the detector that ships and returns one plain `Evaluation`;
`compare` holds two models against each other on the same pictures; `clip` scores tracks and lane decisions of a
replayed clip. Everything here is a pure function of boxes and truth, apart from reading pictures and writing reports.
"""
