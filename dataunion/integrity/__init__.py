"""What the audit looks for, a room for each kind of half-done state; dataunion.reconcile says how much of it, when."""
