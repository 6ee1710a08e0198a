"""Alerts: what is judged, the incidents that come of it, and the messages about them."""
