"""Any partner that takes signed JSON over HTTPS: configured by staff, no code (docs/partners/webhook.md)."""
