"""The world of facts: true passages and questions about countries and cities, without a download."""
