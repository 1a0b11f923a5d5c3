"""Reads run folders; turns them into verdicts, tables and figures. Training never imports it."""
