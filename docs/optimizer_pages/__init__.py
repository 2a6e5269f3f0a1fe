"""The pages about optimizers, made from the rules themselves when the documentation is built.

`subjects` says what has a page, `families` who is compared with whom, `paths` and `picture` draw,
`page` and `overview` write, and `gallery` keeps what was drawn until a source changes.
"""
