"""Objects: one point for each object of a survey, from the answers of the model and the targets of the detector."""
