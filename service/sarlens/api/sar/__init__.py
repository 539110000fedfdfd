"""SAR tasks over REST: questions, captions, previews and surveys."""
