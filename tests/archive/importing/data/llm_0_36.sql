CREATE TABLE "conversations" (
   "id" TEXT PRIMARY KEY,
   "name" TEXT,
   "model" TEXT
);
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
CREATE TABLE "schemas" (
   "id" TEXT PRIMARY KEY,
   "content" TEXT
);
INSERT INTO "schemas" VALUES ('848bffbc260a905ad40888a4518f40ef', '{"type":"object","properties":{"name":{"type":"string"},"age":{"type":"integer"}},"required":["name","age"]}');
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
   "datetime_utc" TEXT,
   "input_tokens" INTEGER,
   "output_tokens" INTEGER,
   "token_details" TEXT,
   "schema_id" TEXT REFERENCES "schemas"("id")
, "resolved_model" TEXT, "reasoning" TEXT);
CREATE TABLE "fragments" (
   "id" INTEGER PRIMARY KEY,
   "hash" TEXT,
   "content" TEXT,
   "datetime_utc" TEXT,
   "source" TEXT
);
INSERT INTO "fragments" VALUES (1, '6aa20f32ccf871787648437340deca5d1cf63e2ffd28b59a6d4a5e17343ea503', 'Name a lake.
', '2026-11-30 22:31:02', 'lake.txt');
CREATE TABLE "prompt_fragments" (
   "response_id" TEXT REFERENCES "responses"("id"),
   "fragment_id" INTEGER REFERENCES "fragments"("id"),
   "order" INTEGER,
   PRIMARY KEY ("response_id", "fragment_id", "order")
);
CREATE TABLE "system_fragments" (
   "response_id" TEXT REFERENCES "responses"("id"),
   "fragment_id" INTEGER REFERENCES "fragments"("id"),
   "order" INTEGER,
   PRIMARY KEY ("response_id", "fragment_id", "order")
);
CREATE TABLE "tools" (
   "id" INTEGER PRIMARY KEY,
   "hash" TEXT,
   "name" TEXT,
   "description" TEXT,
   "input_schema" TEXT
, "plugin" TEXT);
INSERT INTO "tools" VALUES (1, '7dfd48b59de866100be47f6cfea37f0d62ea30903fc8c9d288e312a734338f96', 'weather', 'The weather in a city.', '{"properties": {"city": {"type": "string"}}, "required": ["city"], "type": "object"}', NULL);
CREATE TABLE "tool_responses" (
   "tool_id" INTEGER REFERENCES "tools"("id"),
   "response_id" TEXT REFERENCES "responses"("id"),
   PRIMARY KEY ("tool_id", "response_id")
);
CREATE TABLE "tool_calls" (
   "id" INTEGER PRIMARY KEY,
   "response_id" TEXT REFERENCES "responses"("id"),
   "tool_id" INTEGER REFERENCES "tools"("id"),
   "name" TEXT,
   "arguments" TEXT,
   "tool_call_id" TEXT
);
CREATE TABLE "tool_instances" (
   "id" INTEGER PRIMARY KEY,
   "plugin" TEXT,
   "name" TEXT,
   "arguments" TEXT
);
CREATE TABLE "tool_results" (
   "id" INTEGER PRIMARY KEY,
   "response_id" TEXT REFERENCES "responses"("id"),
   "tool_id" INTEGER REFERENCES "tools"("id"),
   "name" TEXT,
   "output" TEXT,
   "tool_call_id" TEXT,
   "instance_id" INTEGER REFERENCES "tool_instances"("id")
, "exception" TEXT);
CREATE TABLE "messages" (
   "hash" TEXT PRIMARY KEY,
   "parent_hash" TEXT REFERENCES "messages"("hash"),
   "role" TEXT,
   "provider_metadata" TEXT
);
INSERT INTO "messages" VALUES ('b2:537c7f6e79fd3c3cc15f5d3566ef638c', NULL, 'user', NULL);
INSERT INTO "messages" VALUES ('b2:9592a623f51f3ddd39dcfd7a7a21bebc', 'b2:537c7f6e79fd3c3cc15f5d3566ef638c', 'assistant', NULL);
INSERT INTO "messages" VALUES ('b2:074dea0bd0259e0d5dca16426a45e4f5', NULL, 'system', NULL);
INSERT INTO "messages" VALUES ('b2:bde255c8676460693029b00fdd6c958d', 'b2:074dea0bd0259e0d5dca16426a45e4f5', 'user', NULL);
INSERT INTO "messages" VALUES ('b2:996687c6c09ffe174ac81c510561cffd', 'b2:bde255c8676460693029b00fdd6c958d', 'assistant', NULL);
INSERT INTO "messages" VALUES ('b2:bc0b6a9c9cb9cc876dac445ac8c45e72', 'b2:996687c6c09ffe174ac81c510561cffd', 'user', NULL);
INSERT INTO "messages" VALUES ('b2:e99672c230eb95db16696b0d2f7fb66b', 'b2:bc0b6a9c9cb9cc876dac445ac8c45e72', 'assistant', NULL);
INSERT INTO "messages" VALUES ('b2:ecbe83c86c2abaf9cd671828ad085266', NULL, 'user', NULL);
INSERT INTO "messages" VALUES ('b2:2c9e7c88b1014586c15ce043f2da4216', 'b2:ecbe83c86c2abaf9cd671828ad085266', 'assistant', NULL);
INSERT INTO "messages" VALUES ('b2:7bbe75a11226961c31d8ff69fff154dc', 'b2:2c9e7c88b1014586c15ce043f2da4216', 'tool', NULL);
INSERT INTO "messages" VALUES ('b2:fb9c98821f42a9ff6f98974a93ecdfc5', 'b2:7bbe75a11226961c31d8ff69fff154dc', 'assistant', NULL);
INSERT INTO "messages" VALUES ('b2:128e848cc7f4e49ffc168558d9a20e85', NULL, 'user', NULL);
INSERT INTO "messages" VALUES ('b2:a22273245e09e5da72e437ee45839619', 'b2:128e848cc7f4e49ffc168558d9a20e85', 'assistant', NULL);
INSERT INTO "messages" VALUES ('b2:263c2dd160969a69cb480815d9c4f39e', NULL, 'user', NULL);
INSERT INTO "messages" VALUES ('b2:0550c17b1c4158a250560c91863922f6', 'b2:263c2dd160969a69cb480815d9c4f39e', 'assistant', NULL);
CREATE TABLE "parts" (
   "id" INTEGER PRIMARY KEY,
   "message_hash" TEXT REFERENCES "messages"("hash"),
   "position" INTEGER,
   "type" TEXT,
   "tool_name" TEXT,
   "text" TEXT,
   "payload" TEXT
);
INSERT INTO "parts" VALUES (1, 'b2:537c7f6e79fd3c3cc15f5d3566ef638c', 0, 'text', NULL, 'Name a river.', NULL);
INSERT INTO "parts" VALUES (2, 'b2:9592a623f51f3ddd39dcfd7a7a21bebc', 0, 'text', NULL, 'The Loire.', NULL);
INSERT INTO "parts" VALUES (3, 'b2:074dea0bd0259e0d5dca16426a45e4f5', 0, 'text', NULL, 'Be brief.', NULL);
INSERT INTO "parts" VALUES (4, 'b2:bde255c8676460693029b00fdd6c958d', 0, 'text', NULL, 'Name a lake.', NULL);
INSERT INTO "parts" VALUES (5, 'b2:996687c6c09ffe174ac81c510561cffd', 0, 'text', NULL, 'Lake Como.', NULL);
INSERT INTO "parts" VALUES (6, 'b2:bc0b6a9c9cb9cc876dac445ac8c45e72', 0, 'text', NULL, 'Name a river.', NULL);
INSERT INTO "parts" VALUES (7, 'b2:e99672c230eb95db16696b0d2f7fb66b', 0, 'text', NULL, 'The Loire.', NULL);
INSERT INTO "parts" VALUES (8, 'b2:ecbe83c86c2abaf9cd671828ad085266', 0, 'text', NULL, 'How is it in Paris?', NULL);
INSERT INTO "parts" VALUES (9, 'b2:2c9e7c88b1014586c15ce043f2da4216', 0, 'tool_call', 'weather', NULL, '{"name": "weather", "arguments": {"city": "Paris"}, "tool_call_id": "call_1"}');
INSERT INTO "parts" VALUES (10, 'b2:7bbe75a11226961c31d8ff69fff154dc', 0, 'tool_result', 'weather', NULL, '{"name": "weather", "output": "mild in Paris", "tool_call_id": "call_1"}');
INSERT INTO "parts" VALUES (11, 'b2:fb9c98821f42a9ff6f98974a93ecdfc5', 0, 'text', NULL, 'It is mild in Paris.', NULL);
INSERT INTO "parts" VALUES (12, 'b2:128e848cc7f4e49ffc168558d9a20e85', 0, 'text', NULL, 'A dog', NULL);
INSERT INTO "parts" VALUES (13, 'b2:a22273245e09e5da72e437ee45839619', 0, 'text', NULL, 'Hello!', NULL);
INSERT INTO "parts" VALUES (14, 'b2:263c2dd160969a69cb480815d9c4f39e', 0, 'text', NULL, NULL, '{"text_ref": [{"fragment": 1}]}');
INSERT INTO "parts" VALUES (15, 'b2:0550c17b1c4158a250560c91863922f6', 0, 'text', NULL, 'Hello!', NULL);
CREATE TABLE "part_attachments" (
   "part_id" INTEGER REFERENCES "parts"("id"),
   "attachment_id" TEXT REFERENCES "attachments"("id"),
   "order" INTEGER,
   PRIMARY KEY ("part_id", "attachment_id", "order")
);
CREATE TABLE "part_fragments" (
   "part_id" INTEGER REFERENCES "parts"("id"),
   "fragment_id" INTEGER REFERENCES "fragments"("id"),
   "order" INTEGER,
   PRIMARY KEY ("part_id", "fragment_id", "order")
);
INSERT INTO "part_fragments" VALUES (14, 1, 0);
CREATE TABLE "threads" (
   "id" TEXT PRIMARY KEY,
   "name" TEXT,
   "tip_message_hash" TEXT REFERENCES "messages"("hash"),
   "forked_from" TEXT REFERENCES "threads"("id"),
   "datetime_utc" TEXT
);
INSERT INTO "threads" VALUES ('01m8q9a2wkmyg73y1wmn8wx04g', 'Name a river.', 'b2:9592a623f51f3ddd39dcfd7a7a21bebc', NULL, '2026-11-30 22:30:49.802213+00:00');
INSERT INTO "threads" VALUES ('01m8q9a65t7xfpy0shh16cvxap', 'Name a lake.', 'b2:e99672c230eb95db16696b0d2f7fb66b', NULL, '2026-11-30 22:30:53.318864+00:00');
INSERT INTO "threads" VALUES ('01m8q9ac8yme01zj9m215x5hzc', 'How is it in Paris?', 'b2:fb9c98821f42a9ff6f98974a93ecdfc5', NULL, '2026-11-30 22:30:59.360448+00:00');
INSERT INTO "threads" VALUES ('01m8q9ae37nra7j7dgkbmc91rs', 'A dog', 'b2:a22273245e09e5da72e437ee45839619', NULL, '2026-11-30 22:31:01.102913+00:00');
INSERT INTO "threads" VALUES ('01m8q9afbvc1ec13nfkwzjzpyx', 'Name a lake. ', 'b2:0550c17b1c4158a250560c91863922f6', NULL, '2026-11-30 22:31:02.470373+00:00');
CREATE TABLE "turns" (
   "id" TEXT PRIMARY KEY,
   "thread_id" TEXT REFERENCES "threads"("id"),
   "parent_message_hash" TEXT REFERENCES "messages"("hash"),
   "tip_message_hash" TEXT REFERENCES "messages"("hash"),
   "model" TEXT,
   "resolved_model" TEXT,
   "options_json" TEXT,
   "schema_id" TEXT REFERENCES "schemas"("id"),
   "input_tokens" INTEGER,
   "output_tokens" INTEGER,
   "token_details" TEXT,
   "duration_ms" INTEGER,
   "datetime_utc" TEXT
, "response_json" TEXT);
INSERT INTO "turns" VALUES ('01m8q9a2wpfd7pz9ap80jwtx73', '01m8q9a2wkmyg73y1wmn8wx04g', 'b2:537c7f6e79fd3c3cc15f5d3566ef638c', 'b2:9592a623f51f3ddd39dcfd7a7a21bebc', 'local', NULL, NULL, NULL, 9, 4, NULL, 306, '2026-11-30T22:30:49.494501+00:00', '{"content": "The Loire.", "finish_reason": "stop", "usage": {"completion_tokens": 4, "prompt_tokens": 9, "total_tokens": 13}, "id": "chatcmpl-1", "object": "chat.completion.chunk", "model": "gpt-4o-mini", "created": 1}');
INSERT INTO "turns" VALUES ('01m8q9a65xwje7xmmz9f2tz6z1', '01m8q9a65t7xfpy0shh16cvxap', 'b2:bde255c8676460693029b00fdd6c958d', 'b2:996687c6c09ffe174ac81c510561cffd', 'local', NULL, '{"temperature": 0.5}', NULL, 9, 4, NULL, 456, '2026-11-30T22:30:52.861395+00:00', '{"id": "chatcmpl-1", "choices": [{"finish_reason": "stop", "index": 0, "message": {"content": "Lake Como.", "role": "assistant"}}], "created": 1, "model": "gpt-4o-mini", "object": "chat.completion", "usage": {"completion_tokens": 4, "prompt_tokens": 9, "total_tokens": 13}}');
INSERT INTO "turns" VALUES ('01m8q9a9rayt43dabw1n58m55n', '01m8q9a65t7xfpy0shh16cvxap', 'b2:bc0b6a9c9cb9cc876dac445ac8c45e72', 'b2:e99672c230eb95db16696b0d2f7fb66b', 'local', NULL, NULL, NULL, 9, 4, NULL, 180, '2026-11-30T22:30:56.522930+00:00', '{"id": "chatcmpl-1", "choices": [{"finish_reason": "stop", "index": 0, "message": {"content": "The Loire.", "role": "assistant"}}], "created": 1, "model": "gpt-4o-mini", "object": "chat.completion", "usage": {"completion_tokens": 4, "prompt_tokens": 9, "total_tokens": 13}}');
INSERT INTO "turns" VALUES ('01m8q9ac90a8pm9e5268cbt2ph', '01m8q9ac8yme01zj9m215x5hzc', 'b2:ecbe83c86c2abaf9cd671828ad085266', 'b2:2c9e7c88b1014586c15ce043f2da4216', 'local', NULL, NULL, NULL, 9, 4, NULL, 193, '2026-11-30T22:30:59.104772+00:00', '{"id": "chatcmpl-1", "choices": [{"finish_reason": "tool_calls", "index": 0, "message": {"role": "assistant", "tool_calls": [{"id": "call_1", "function": {"arguments": "{\"city\":\"Paris\"}", "name": "weather"}, "type": "function"}]}}], "created": 1, "model": "gpt-4o-mini", "object": "chat.completion", "usage": {"completion_tokens": 4, "prompt_tokens": 9, "total_tokens": 13}}');
INSERT INTO "turns" VALUES ('01m8q9acf2d99y1asa14hzs01j', '01m8q9ac8yme01zj9m215x5hzc', 'b2:7bbe75a11226961c31d8ff69fff154dc', 'b2:fb9c98821f42a9ff6f98974a93ecdfc5', 'local', NULL, NULL, NULL, 9, 4, NULL, 60, '2026-11-30T22:30:59.298764+00:00', '{"id": "chatcmpl-1", "choices": [{"finish_reason": "stop", "index": 0, "message": {"content": "It is mild in Paris.", "role": "assistant"}}], "created": 1, "model": "gpt-4o-mini", "object": "chat.completion", "usage": {"completion_tokens": 4, "prompt_tokens": 9, "total_tokens": 13}}');
INSERT INTO "turns" VALUES ('01m8q9ae38bvv45zwpy6xhmznm', '01m8q9ae37nra7j7dgkbmc91rs', 'b2:128e848cc7f4e49ffc168558d9a20e85', 'b2:a22273245e09e5da72e437ee45839619', 'local', NULL, NULL, '848bffbc260a905ad40888a4518f40ef', 9, 4, NULL, 133, '2026-11-30T22:31:00.968882+00:00', '{"id": "chatcmpl-1", "choices": [{"finish_reason": "stop", "index": 0, "message": {"content": "Hello!", "role": "assistant"}}], "created": 1, "model": "gpt-4o-mini", "object": "chat.completion", "usage": {"completion_tokens": 4, "prompt_tokens": 9, "total_tokens": 13}}');
INSERT INTO "turns" VALUES ('01m8q9afbyhd52f8mhc71dk726', '01m8q9afbvc1ec13nfkwzjzpyx', 'b2:263c2dd160969a69cb480815d9c4f39e', 'b2:0550c17b1c4158a250560c91863922f6', 'local', NULL, NULL, NULL, 9, 4, NULL, 198, '2026-11-30T22:31:02.270324+00:00', '{"id": "chatcmpl-1", "choices": [{"finish_reason": "stop", "index": 0, "message": {"content": "Hello!", "role": "assistant"}}], "created": 1, "model": "gpt-4o-mini", "object": "chat.completion", "usage": {"completion_tokens": 4, "prompt_tokens": 9, "total_tokens": 13}}');
CREATE TABLE "turn_fragments" (
   "turn_id" TEXT REFERENCES "turns"("id"),
   "fragment_id" INTEGER REFERENCES "fragments"("id"),
   "order" INTEGER,
   "kind" TEXT,
   PRIMARY KEY ("turn_id", "fragment_id", "kind", "order")
);
INSERT INTO "turn_fragments" VALUES ('01m8q9afbyhd52f8mhc71dk726', 1, 0, 'prompt');
CREATE TABLE "turn_tools" (
   "turn_id" TEXT REFERENCES "turns"("id"),
   "tool_id" INTEGER REFERENCES "tools"("id"),
   "instance_id" INTEGER REFERENCES "tool_instances"("id"),
   PRIMARY KEY ("turn_id", "tool_id")
);
INSERT INTO "turn_tools" VALUES ('01m8q9ac90a8pm9e5268cbt2ph', 1, NULL);
INSERT INTO "turn_tools" VALUES ('01m8q9acf2d99y1asa14hzs01j', 1, NULL);
