r"""What an answer is made of: one value, or a list, set, tuple, interval, union or matrix of them.

An answer may name two values only where the gold answer does, so this is read before anything is compared.

>>> read("3,5;7") == Form("list", ("3", "5", "7"))
True
>>> read("x=42").kind, read(r"\pm42").kind, read("(3,4]").kind, read("2<x").kind
('named', 'list', '(]', 'relation')
"""
