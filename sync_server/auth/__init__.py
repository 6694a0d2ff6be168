"""Who may use what: tills by signature, people and programs by token, browsers by session."""
