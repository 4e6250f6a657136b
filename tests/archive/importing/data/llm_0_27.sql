CREATE TABLE "conversations" (
   "id" TEXT PRIMARY KEY,
   "name" TEXT,
   "model" TEXT
);
INSERT INTO "conversations" VALUES ('01m8q99pc052n6w9b4qgh2rt2y', 'Name a river.', 'local');
INSERT INTO "conversations" VALUES ('01m8q99qz1qd38s1npz2g4yyaq', 'Name a lake.', 'local');
INSERT INTO "conversations" VALUES ('01m8q99sfz7p3qpqz8jr8tdpzd', 'How is it in Paris?', 'local');
INSERT INTO "conversations" VALUES ('01m8q99tyz2y2ah668ajezkax5', 'A dog', 'local');
INSERT INTO "conversations" VALUES ('01m8q99w4ey9thqc6rhqjp54qp', 'Name a lake. ', 'local');
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
, "resolved_model" TEXT);
INSERT INTO "responses" VALUES ('01m8q99p227nk556r5tstaxjgy', 'local', 'Name a river.', NULL, '{"messages": [{"role": "user", "content": "Name a river."}]}', '{}', 'The Loire.', '{"content": {"$": "r:01m8q99p227nk556r5tstaxjgy"}, "finish_reason": "stop", "usage": {"completion_tokens": 4, "prompt_tokens": 9, "total_tokens": 13}, "id": "chatcmpl-1", "object": "chat.completion.chunk", "model": "gpt-4o-mini", "created": 1}', '01m8q99pc052n6w9b4qgh2rt2y', 318, '2026-11-30T22:30:36.354287+00:00', 9, 4, NULL, NULL, NULL);
INSERT INTO "responses" VALUES ('01m8q99qggb3atjxnk4jx1h7ze', 'local', 'Name a lake.', 'Be brief.', '{"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Name a lake."}]}', '{"temperature": 0.5}', 'Lake Como.', '{"id": "chatcmpl-1", "choices": [{"finish_reason": "stop", "index": 0, "message": {"content": {"$": "r:01m8q99qggb3atjxnk4jx1h7ze"}, "role": "assistant"}}], "created": 1, "model": "gpt-4o-mini", "object": "chat.completion", "usage": {"completion_tokens": 4, "prompt_tokens": 9, "total_tokens": 13}}', '01m8q99qz1qd38s1npz2g4yyaq', 461, '2026-11-30T22:30:37.840285+00:00', 9, 4, NULL, NULL, NULL);
INSERT INTO "responses" VALUES ('01m8q99rpvm11yq3dq05tk3c60', 'local', 'Name a river.', NULL, '{"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Name a lake."}, {"role": "assistant", "content": "Lake Como."}, {"role": "user", "content": "Name a river."}]}', '{}', 'The Loire.', '{"id": "chatcmpl-1", "choices": [{"finish_reason": "stop", "index": 0, "message": {"content": {"$": "r:01m8q99rpvm11yq3dq05tk3c60"}, "role": "assistant"}}], "created": 1, "model": "gpt-4o-mini", "object": "chat.completion", "usage": {"completion_tokens": 4, "prompt_tokens": 9, "total_tokens": 13}}', '01m8q99qz1qd38s1npz2g4yyaq', 169, '2026-11-30T22:30:39.067917+00:00', 9, 4, NULL, NULL, NULL);
INSERT INTO "responses" VALUES ('01m8q99sg224nwp44be1wy1acw', 'local', 'How is it in Paris?', NULL, '{"messages": [{"role": "user", "content": "How is it in Paris?"}]}', '{}', '', '{"id": "chatcmpl-1", "choices": [{"finish_reason": "tool_calls", "index": 0, "message": {"role": "assistant", "tool_calls": [{"id": "call_1", "function": {"arguments": "{\"city\":\"Paris\"}", "name": "weather"}, "type": "function"}]}}], "created": 1, "model": "gpt-4o-mini", "object": "chat.completion", "usage": {"completion_tokens": 4, "prompt_tokens": 9, "total_tokens": 13}}', '01m8q99sfz7p3qpqz8jr8tdpzd', 168, '2026-11-30T22:30:39.874081+00:00', 9, 4, NULL, NULL, NULL);
INSERT INTO "responses" VALUES ('01m8q99snae0hspedad47m1bma', 'local', '', NULL, '{"messages": [{"role": "user", "content": "How is it in Paris?"}, {"role": "assistant", "tool_calls": [{"type": "function", "id": "call_1", "function": {"name": "weather", "arguments": "{\"city\": \"Paris\"}"}}]}, {"role": "tool", "tool_call_id": "call_1", "content": "mild in Paris"}]}', '{}', 'It is mild in Paris.', '{"id": "chatcmpl-1", "choices": [{"finish_reason": "stop", "index": 0, "message": {"content": {"$": "r:01m8q99snae0hspedad47m1bma"}, "role": "assistant"}}], "created": 1, "model": "gpt-4o-mini", "object": "chat.completion", "usage": {"completion_tokens": 4, "prompt_tokens": 9, "total_tokens": 13}}', '01m8q99sfz7p3qpqz8jr8tdpzd', 33, '2026-11-30T22:30:40.042297+00:00', 9, 4, NULL, NULL, NULL);
INSERT INTO "responses" VALUES ('01m8q99tnzhcgkw70kee6yj80g', 'local', 'A dog', NULL, '{"messages": [{"role": "user", "content": "A dog"}]}', '{}', 'Hello!', '{"id": "chatcmpl-1", "choices": [{"finish_reason": "stop", "index": 0, "message": {"content": {"$": "r:01m8q99tnzhcgkw70kee6yj80g"}, "role": "assistant"}}], "created": 1, "model": "gpt-4o-mini", "object": "chat.completion", "usage": {"completion_tokens": 4, "prompt_tokens": 9, "total_tokens": 13}}', '01m8q99tyz2y2ah668ajezkax5', 288, '2026-11-30T22:30:41.087260+00:00', 9, 4, NULL, '848bffbc260a905ad40888a4518f40ef', NULL);
INSERT INTO "responses" VALUES ('01m8q99vx6wsh0sbbhzkbenn45', 'local', NULL, NULL, '{"messages": [{"role": "user", "content": {"$": "f1"}}]}', '{}', 'Hello!', '{"id": "chatcmpl-1", "choices": [{"finish_reason": "stop", "index": 0, "message": {"content": {"$": "r:01m8q99vx6wsh0sbbhzkbenn45"}, "role": "assistant"}}], "created": 1, "model": "gpt-4o-mini", "object": "chat.completion", "usage": {"completion_tokens": 4, "prompt_tokens": 9, "total_tokens": 13}}', '01m8q99w4ey9thqc6rhqjp54qp', 232, '2026-11-30T22:30:42.342103+00:00', 9, 4, NULL, NULL, NULL);
CREATE TABLE "fragments" (
   "id" INTEGER PRIMARY KEY,
   "hash" TEXT,
   "content" TEXT,
   "datetime_utc" TEXT,
   "source" TEXT
);
INSERT INTO "fragments" VALUES (1, '6aa20f32ccf871787648437340deca5d1cf63e2ffd28b59a6d4a5e17343ea503', 'Name a lake.
', '2026-11-30 22:30:42', 'lake.txt');
CREATE TABLE "prompt_fragments" (
   "response_id" TEXT REFERENCES "responses"("id"),
   "fragment_id" INTEGER REFERENCES "fragments"("id"),
   "order" INTEGER,
   PRIMARY KEY ("response_id", "fragment_id", "order")
);
INSERT INTO "prompt_fragments" VALUES ('01m8q99vx6wsh0sbbhzkbenn45', 1, 0);
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
INSERT INTO "tool_responses" VALUES (1, '01m8q99sg224nwp44be1wy1acw');
INSERT INTO "tool_responses" VALUES (1, '01m8q99snae0hspedad47m1bma');
CREATE TABLE "tool_calls" (
   "id" INTEGER PRIMARY KEY,
   "response_id" TEXT REFERENCES "responses"("id"),
   "tool_id" INTEGER REFERENCES "tools"("id"),
   "name" TEXT,
   "arguments" TEXT,
   "tool_call_id" TEXT
);
INSERT INTO "tool_calls" VALUES (1, '01m8q99sg224nwp44be1wy1acw', 1, 'weather', '{"city": "Paris"}', 'call_1');
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
INSERT INTO "tool_results" VALUES (1, '01m8q99snae0hspedad47m1bma', 1, 'weather', 'mild in Paris', 'call_1', NULL, NULL);
