//! Denial first, then the permission; and that what a denial prints is the permission.
