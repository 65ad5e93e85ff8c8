// Events and their two wire forms, byte for byte (WHATWG server-sent events; RFC 6455, 5.2), and their
// lifetime.
#include "core/event.h"

#include <gtest/gtest.h>
#include <simdjson.h>

#include <cstring>

#include "core/json.h"

namespace twinwire {
namespace {

constexpr Epoch kEpoch{0x9c1f00d2ab37};
constexpr uint64_t kWall = 1795176000123;  // 2026-11-20T12:00:00.123Z

EventDraft message(std::string_view data) {
  EventDraft draft;
  draft.type = "message.created";
  draft.shown_room = "lobby";
  draft.data = data;
  draft.room = {1, 2};
  draft.room_name = Name("acme", "lobby");
  draft.user = Name("acme", "alice");
  draft.wall_ms = kWall;
  return draft;
}

// Splits what a browser's EventSource would make of one block. Fails on anything but one block.
struct Block {
  std::string id, event, data;
  bool has_id = false;
};
Block parse_sse(std::string_view bytes) {
  Block block;
  EXPECT_TRUE(bytes.ends_with("\n\n"));
  int data_lines = 0, blank_lines = 0;
  for (size_t at = 0; at < bytes.size();) {
    size_t end = bytes.find_first_of("\r\n", at);
    EXPECT_NE(end, std::string_view::npos);
    if (end == std::string_view::npos) break;
    EXPECT_EQ(bytes[end], '\n');
    std::string_view line = bytes.substr(at, end - at);
    at = end + 1;
    if (line.empty()) {
      blank_lines++;
    } else if (line.starts_with("id: ")) {
      block.has_id = true;
      block.id = line.substr(4);
    } else if (line.starts_with("event: ")) {
      block.event = line.substr(7);
    } else if (line.starts_with("data: ")) {
      data_lines++;
      block.data = line.substr(6);
    } else {
      ADD_FAILURE() << "a line of no known field: " << line;
    }
  }
  EXPECT_EQ(data_lines, 1);
  EXPECT_EQ(blank_lines, 1);
  return block;
}

// Reads back a server's frame by the letter of RFC 6455, 5.2.
std::string parse_ws(std::string_view bytes) {
  auto byte = [&](size_t i) { return static_cast<uint8_t>(bytes[i]); };
  EXPECT_GE(bytes.size(), 2u);
  EXPECT_EQ(byte(0), 0x81);  // FIN, text
  EXPECT_EQ(byte(1) & 0x80, 0);
  uint64_t size = byte(1);
  size_t header = 2;
  if (size >= 126) {
    size_t digits = size == 126 ? 2 : 8;
    size = 0;
    for (size_t i = 0; i < digits; i++) size = size << 8 | byte(2 + i);
    header += digits;
    EXPECT_GT(size, digits == 2 ? 125u : 65535u) << "not the shortest form";
  }
  EXPECT_EQ(bytes.size(), header + size);
  return std::string(bytes.substr(header));
}

TEST(Event, ExactBytesOfAKeptEvent) {
  EventRef event = Event::encode(message(R"({"a":1})"), kEpoch);
  event.mutable_event()->patch(Sequence{0x2a91c4e1});
  const std::string json =
      R"({"eventId":"9c1f00d2ab37-0000002a91c4e1","type":"message.created","tenantId":"acme","room":"lobby",)"
      R"("userId":"alice","timestamp":"2026-11-20T12:00:00.123Z","data":{"a":1}})";
  EXPECT_EQ(event->json(), json);
  EXPECT_EQ(event->sse(), "id: 9c1f00d2ab37-0000002a91c4e1\nevent: message.created\ndata: " + json + "\n\n");
  std::string header = {'\x81', '\x7e', char(json.size() >> 8), char(json.size())};
  EXPECT_EQ(event->ws(), header + json);
  EXPECT_EQ(event->data(), R"({"a":1})");
  EXPECT_EQ(event->sequence(), Sequence{0x2a91c4e1});
}

TEST(Event, EphemeralOnesHaveTheIdOnlyInTheJson) {
  for (EventClass event_class : {EventClass::ephemeral, EventClass::state}) {
    EventDraft draft = message("{}");
    draft.event_class = event_class;
    EventRef event = Event::encode(draft, kEpoch);
    event.mutable_event()->patch(Sequence{255});
    EXPECT_TRUE(event->sse().starts_with(
        "event: message.created\ndata: {\"eventId\":\"9c1f00d2ab37-000000000000ff\","));
    EXPECT_FALSE(parse_sse(event->sse()).has_id);
    EXPECT_FALSE(event->kept());
    EXPECT_EQ(event->event_class(), event_class);
  }
}

TEST(Event, WhatIsAbsentIsLeftOut) {
  EventDraft draft = message("{}");
  draft.shown_room = {};
  draft.user = Name();
  EventRef event = Event::encode(draft, kEpoch);
  EXPECT_EQ(event->json(),
            R"({"eventId":"9c1f00d2ab37-00000000000000","type":"message.created","tenantId":"acme",)"
            R"("timestamp":"2026-11-20T12:00:00.123Z","data":{}})");
  EXPECT_EQ(event->shown_room(), "");
}

TEST(Event, PatchFillsEveryPlaceAndNothingElse) {
  for (bool kept : {true, false})
    for (size_t payload : {size_t{0}, size_t{90}, size_t{70000}}) {
      std::string data = R"({"message":{"text":")" + std::string(payload, 'x') + R"(","id":"9c1f00d2ab37-)";
      EventDraft draft = message({});
      draft.sequence_place = static_cast<uint32_t>(data.size());
      data += R"(00000000000000"}})";
      draft.data = data;
      draft.event_class = kept ? EventClass::kept : EventClass::ephemeral;
      EventRef event = Event::encode(draft, kEpoch);
      std::string sse(event->sse()), ws(event->ws());
      event.mutable_event()->patch(Sequence{0x123456789abcd});
      const std::string digits = "0123456789abcd";
      auto replace_all = [&](std::string text) {
        int places = 0;
        for (size_t at; (at = text.find("-00000000000000")) != std::string::npos; places++)
          text.replace(at + 1, digits.size(), digits);
        return std::pair(text, places);
      };
      auto [sse_expected, sse_places] = replace_all(sse);
      auto [ws_expected, ws_places] = replace_all(ws);
      EXPECT_EQ(sse_places, kept ? 3 : 2);
      EXPECT_EQ(ws_places, 2);
      EXPECT_EQ(event->sse(), sse_expected);
      EXPECT_EQ(event->ws(), ws_expected);
      // A second patch wins: the claim may have been given up and made anew.
      event.mutable_event()->patch(kSequenceMax);
      EXPECT_EQ(event->sequence(), kSequenceMax);
      EXPECT_EQ(event->ws().find(digits), std::string_view::npos);
      EXPECT_EQ(event->sse().find(digits), std::string_view::npos);
    }
}

TEST(Event, EveryWebSocketHeaderSize) {
  auto size_with = [](size_t payload) {
    std::string data = "\"" + std::string(payload, 'x') + "\"";
    return Event::encode(message(data), kEpoch)->json().size();
  };
  const size_t around = size_with(0);
  ASSERT_GT(around, 125u);
  for (size_t json : {around, size_t{65534}, size_t{65535}, size_t{65536}, size_t{65537}, size_t{1} << 20}) {
    std::string data = "\"" + std::string(json - around, 'x') + "\"";
    EventRef event = Event::encode(message(data), kEpoch);
    ASSERT_EQ(event->json().size(), json);
    EXPECT_EQ(parse_ws(event->ws()), event->json());
    EXPECT_EQ(parse_sse(event->sse()).data, event->json());
    EXPECT_EQ(event->data(), data);
  }
  // The shortest header carries up to 125 bytes: only frames for one stream are so small.
  for (size_t text = 0; text < 120; text++) {
    std::string data = "\"" + std::string(text, 'y') + "\"";
    EventRef event = encode_direct("a", "", data, kWall);
    EXPECT_EQ(parse_ws(event->ws()), event->json());
    EXPECT_EQ(event->ws().size() - event->json().size(), event->json().size() < 126 ? 2u : 4u);
  }
}

TEST(Event, FrameHeaders) {
  struct {
    uint64_t size;
    std::string bytes;
  } rows[] = {{0, "0100"},
              {1, "0101"},
              {125, "017d"},
              {126, "017e007e"},
              {255, "017e00ff"},
              {256, "017e0100"},
              {65535, "017effff"},
              {65536, "017f0000000000010000"},
              {uint64_t{1} << 40, "017f0000010000000000"}};
  for (auto& row : rows)
    for (uint8_t opcode : {1, 2, 8, 9, 10}) {
      char out[10];
      size_t size = write_ws_header(out, opcode, row.size);
      std::string hex;
      for (size_t i = 0; i < size; i++) {
        char two[3];
        std::snprintf(two, sizeof two, "%02x", static_cast<uint8_t>(i == 0 ? out[0] & 0x7f : out[i]));
        hex += two;
      }
      EXPECT_TRUE(out[0] & 0x80);
      EXPECT_EQ(hex[1] - (hex[1] > '9' ? 'a' - 10 : '0'), opcode);
      EXPECT_EQ(hex.substr(2), row.bytes.substr(2));
    }
}

// Whatever people write, an SSE block stays one block: no byte of theirs ends a line.
TEST(Event, NoTextBreaksAnSseLine) {
  for (std::string text : {"\n", "\r", "\r\n", "\n\nevent: evil\ndata: x\n\n", "a\rid: 7", "\xe2\x80\xa8",
                           "\xe2\x80\xa9", "\xc2\x85", "\x0b\x0c\x1c\x1d\x1e", "\"}\n\n"}) {
    std::string data = "{\"content\":" + json_string(text) + "}";
    EventDraft draft = message(data);
    std::string room = "r" + text;
    draft.shown_room = room;
    draft.room_name = Name("t" + text, room);
    draft.user = Name("t" + text, "u" + text);
    EventRef event = Event::encode(draft, kEpoch);
    Block block = parse_sse(event->sse());
    EXPECT_EQ(block.event, "message.created");
    EXPECT_EQ(block.id, (Cursor{kEpoch, {0}}.text()));
    simdjson::dom::parser parser;
    simdjson::dom::element json;
    ASSERT_EQ(parser.parse(block.data).get(json), simdjson::SUCCESS);
    EXPECT_EQ(json["room"].get_string().value(), room);
    EXPECT_EQ(json["tenantId"].get_string().value(), "t" + text);
    EXPECT_EQ(json["userId"].get_string().value(), "u" + text);
    EXPECT_EQ(json["data"]["content"].get_string().value(), text);
    EXPECT_EQ(parse_ws(event->ws()), block.data);
  }
}

TEST(Event, DirectFramesHaveNoId) {
  EventRef event = encode_direct("reset", "acme", R"({"reason":"trimmed"})", kWall);
  const std::string json =
      R"({"type":"reset","tenantId":"acme","timestamp":"2026-11-20T12:00:00.123Z","data":{"reason":"trimmed"}})";
  EXPECT_EQ(event->json(), json);
  EXPECT_EQ(event->sse(), "event: reset\ndata: " + json + "\n\n");
  EXPECT_EQ(event->sequence(), Sequence{0});
  EXPECT_FALSE(event->kept());
  EXPECT_EQ(event->data(), R"({"reason":"trimmed"})");
  EXPECT_EQ(encode_direct("bye", "", "{}", 0)->json(),
            R"({"type":"bye","timestamp":"1970-01-01T00:00:00.000Z","data":{}})");
}

TEST(Event, CarriesWhatTheStoreAndTheShardsNeed) {
  EventDraft draft = message("{}");
  draft.kind = EventKind::removal;
  draft.effect = EventEffect::member_removed;
  draft.subject = Name("acme", "bob");
  draft.room_record = std::string_view("\0rec\xff", 5);
  draft.client_id = "c-1";
  draft.content_hash = 77;
  draft.exclude = Exclude::connection;
  draft.exclude_session = {3, 4};
  EventRef event = Event::encode(draft, kEpoch);
  EXPECT_EQ(event->room(), (RoomId{1, 2}));
  EXPECT_EQ(event->room_name(), Name("acme", "lobby"));
  EXPECT_EQ(event->user(), Name("acme", "alice"));
  EXPECT_EQ(event->subject(), Name("acme", "bob"));
  EXPECT_EQ(event->kind(), EventKind::removal);
  EXPECT_EQ(event->effect(), EventEffect::member_removed);
  EXPECT_EQ(event->type(), "message.created");
  EXPECT_EQ(event->shown_room(), "lobby");
  EXPECT_EQ(event->client_id(), "c-1");
  EXPECT_EQ(event->room_record(), std::string_view("\0rec\xff", 5));
  EXPECT_EQ(event->content_hash(), 77u);
  EXPECT_EQ(event->exclude(), Exclude::connection);
  EXPECT_EQ(event->exclude_session(), (SessionId{3, 4}));
  EXPECT_EQ(event->wall_ms(), kWall);
  EXPECT_EQ(event->outcome(), Outcome::pending);
  event->settle(Outcome::stored);
  EXPECT_EQ(event->outcome(), Outcome::stored);
  EXPECT_GE(event->size(), sizeof(Event) + event->sse().size() + event->ws().size() + 15 + 5 + 3 + 5);
}

TEST(Event, LongestPartsOfEachKind) {
  EventDraft draft = message("{}");
  std::string type(64, 't'), room(128, 'r'), client(128, 'c'), record(70000, 'd');
  draft.type = type;
  draft.shown_room = room;
  draft.client_id = client;
  draft.room_record = record;
  EventRef event = Event::encode(draft, kEpoch);
  EXPECT_EQ(event->type(), type);
  EXPECT_EQ(event->shown_room(), room);
  EXPECT_EQ(event->client_id(), client);
  EXPECT_EQ(event->room_record(), record);
}

TEST(Event, Timestamps) {
  EXPECT_EQ(format_timestamp(0), "1970-01-01T00:00:00.000Z");
  EXPECT_EQ(format_timestamp(999), "1970-01-01T00:00:00.999Z");
  EXPECT_EQ(format_timestamp(951782400000), "2000-02-29T00:00:00.000Z");
  EXPECT_EQ(format_timestamp(1704067199999), "2023-12-31T23:59:59.999Z");
  EXPECT_EQ(format_timestamp(kWall), "2026-11-20T12:00:00.123Z");
  EXPECT_EQ(format_timestamp(4102444800007), "2100-01-01T00:00:00.007Z");
  EXPECT_EQ(format_timestamp(253402300799999), "9999-12-31T23:59:59.999Z");
}

// A reference keeps the event, its names with it; the sanitizers see a count that is wrong either way.
TEST(Event, References) {
  EventRef none;
  EXPECT_FALSE(none);
  EXPECT_EQ(none.get(), nullptr);
  EventRef a = Event::encode(message("{}"), kEpoch);
  EventRef b = a;
  EventRef c = std::move(a);
  EXPECT_FALSE(a);
  EXPECT_EQ(b.get(), c.get());
  b = EventRef();
  EXPECT_EQ(c->type(), "message.created");
  c->prepay(2);
  const Event* event = c.get();
  { EventRef d = EventRef::adopt(event); }
  EventRef e = EventRef::adopt(event);
  c = e;
  e = EventRef::share(event);
  EXPECT_EQ(EventRef::share(nullptr).get(), nullptr);
  EventRef f = EventRef::adopt(c.detach());
  EXPECT_FALSE(c);
  EXPECT_EQ(f.get(), event);
}

}  // namespace
}  // namespace twinwire
