"""Taking over the records of the old Mongoose service, with the state they have; its database is read only."""
