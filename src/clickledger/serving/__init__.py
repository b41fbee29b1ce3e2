"""The processes of `serve`: HTTP processes, as many as asked for, and one worker process."""
