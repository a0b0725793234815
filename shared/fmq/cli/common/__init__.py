"""What several commands share: options, output, selections, and the record of what they change."""
