"""REST: views translate, make one call down, and answer. The only room that knows REST framework."""
