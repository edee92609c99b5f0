"""What the agent loop costs, and what it uses: tools, events, Lua, compaction, the check of facts."""
