"""Who goes next, and what happened: the controller, the record, the verdict, the replay."""
