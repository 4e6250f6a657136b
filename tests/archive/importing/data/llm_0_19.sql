CREATE TABLE "conversations" (
   "id" TEXT PRIMARY KEY,
   "name" TEXT,
   "model" TEXT
);
INSERT INTO "conversations" VALUES ('01m8q99gte5w96f0k43spq7fv4', 'Name a river.', 'local');
INSERT INTO "conversations" VALUES ('01m8q99hpgbkdgppz6vjdhmyvq', 'Name a lake.', 'local');
CREATE TABLE "responses" (
   "id" TEXT PRIMARY KEY,
   "model" TEXT,
   "prompt" TEXT,
   "system" TEXT,
   "prompt_json" TEXT,
   "options_json" TEXT,
   "response" TEXT,
   "response_json" TEXT,
   "conversation_id" TEXT REFERENCES "conversations"("id"),
   "duration_ms" INTEGER,
   "datetime_utc" TEXT
, "input_tokens" INTEGER, "output_tokens" INTEGER, "token_details" TEXT);
INSERT INTO "responses" VALUES ('01m8q99gtgf3f8vmh6kndytwmp', 'local', 'Name a river.', NULL, '{"messages": [{"role": "user", "content": "Name a river."}]}', '{}', 'The Loire.', '{"content": "The Loire.", "finish_reason": "stop", "usage": {"completion_tokens": 4, "prompt_tokens": 9, "total_tokens": 13}, "id": "chatcmpl-1", "object": "chat.completion.chunk", "model": "gpt-4o-mini", "created": 1}', '01m8q99gte5w96f0k43spq7fv4', 190, '2026-11-30T22:30:30.716636', 9, 4, NULL);
INSERT INTO "responses" VALUES ('01m8q99hpjey3h9g3rv85ye7cx', 'local', 'Name a lake.', 'Be brief.', '{"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Name a lake."}]}', '{"temperature": 0.5}', 'Lake Como.', '{"id": "chatcmpl-1", "choices": [{"finish_reason": "stop", "index": 0, "message": {"content": "Lake Como.", "role": "assistant"}}], "created": 1, "model": "gpt-4o-mini", "object": "chat.completion", "usage": {"completion_tokens": 4, "prompt_tokens": 9, "total_tokens": 13}}', '01m8q99hpgbkdgppz6vjdhmyvq', 181, '2026-11-30T22:30:31.704789', 9, 4, NULL);
INSERT INTO "responses" VALUES ('01m8q99jk4xfc5cvpba3mh7t9w', 'local', 'Name a river.', NULL, '{"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Name a lake."}, {"role": "assistant", "content": "Lake Como."}, {"role": "user", "content": "Name a river."}]}', '{}', 'The Loire.', '{"id": "chatcmpl-1", "choices": [{"finish_reason": "stop", "index": 0, "message": {"content": "The Loire.", "role": "assistant"}}], "created": 1, "model": "gpt-4o-mini", "object": "chat.completion", "usage": {"completion_tokens": 4, "prompt_tokens": 9, "total_tokens": 13}}', '01m8q99hpgbkdgppz6vjdhmyvq', 170, '2026-11-30T22:30:32.632576', 9, 4, NULL);
CREATE TABLE "attachments" (
   "id" TEXT PRIMARY KEY,
   "type" TEXT,
   "path" TEXT,
   "url" TEXT,
   "content" BLOB
);
CREATE TABLE "prompt_attachments" (
   "response_id" TEXT REFERENCES "responses"("id"),
   "attachment_id" TEXT REFERENCES "attachments"("id"),
   "order" INTEGER,
   PRIMARY KEY ("response_id", "attachment_id")
);
