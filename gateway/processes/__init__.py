"""The process tree: a launcher, data workers, one control process, and the embedded store where no Redis is named."""
