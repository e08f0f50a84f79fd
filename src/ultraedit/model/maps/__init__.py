"""Maps whose weights can be edited.  `base` says what one can do, `kinds` lists the kinds there are."""
