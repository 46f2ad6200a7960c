"""The record: MongoDB and GridFS behind small classes."""
