"""What files hold and what is known of them: NIfTI, TransUNet's arrays, placement, findings."""
