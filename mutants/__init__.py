"""Plausible mistakes, planted one at a time, that the tests must find.

`make mutants` plants each in a copy of the source and runs the tests that ought to fail;
`make mutants ARGS="adam rprop"` takes those whose family or file has one of these words in its
name. A mistake that no test notices asks for a test, not for a shorter list.

mutant     what a mutant is, and what can be wrong with its description
families/  the mutants, a file for each part of the optimizers
nursery    tests run in forked processes, which have imported PyTorch once and for all
"""
