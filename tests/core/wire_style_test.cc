// Events in the styles of applications that move here: names, bodies, member names; and that no style loses
// the cursor, the native data, or a place where the sequence stands.
#include "core/wire_style.h"

#include <gtest/gtest.h>
#include <simdjson.h>

#include "core/bridge.h"
#include "core/event.h"

namespace twinwire {
namespace {

constexpr Epoch kEpoch{0x9c1f00d2ab37};

std::string renamed(std::string_view json, const KeyStyle& style) {
  std::string out;
  append_with_keys(out, json, style);
  return out;
}

EventDraft draft_of(std::string_view type, std::string_view data, const WireStyle& style) {
  EventDraft draft;
  draft.type = type;
  draft.data = data;
  draft.shown_room = "lobby";
  draft.room_name = Name("acme", "lobby");
  draft.user = Name("acme", "ann");
  draft.wall_ms = 1'795'000'000'123;
  draft.style = &style;
  return draft;
}

EventRef encoded(const EventDraft& draft, Sequence sequence = Sequence{0x2a}) {
  EventRef event = Event::encode(draft, kEpoch);
  event.mutable_event()->patch(sequence);
  return event;
}

TEST(WireStyle, NamesByRuleAndByTable) {
  FormStyle style;
  std::string scratch;
  auto name = [&](std::string_view type) { return std::string(event_name(style, type, scratch)); };
  EXPECT_EQ(name("room.member_added"), "room.member_added");
  style.names = NameRule::hyphen;
  EXPECT_EQ(name("room.member_added"), "room-member-added");
  EXPECT_EQ(name("goal.created"), "goal-created");
  style.names = NameRule::upper_snake;
  EXPECT_EQ(name("room.member_added"), "ROOM_MEMBER_ADDED");
  EXPECT_EQ(name("connected"), "CONNECTED");
  style.name_of["message.created"] = "NEW_MESSAGE";
  EXPECT_EQ(name("message.created"), "NEW_MESSAGE");
  EXPECT_EQ(name("message.deleted"), "MESSAGE_DELETED");
  style.names = NameRule::message;
  EXPECT_EQ(name("message.deleted"), "");
  EXPECT_EQ(name("message.created"), "NEW_MESSAGE");
}

TEST(WireStyle, MemberNamesAtEveryDepthAndNothingElse) {
  const std::string json =
      R"({"userId":"userId","list":[{"createdAt":1,"a\"B":2},"fileUrl"],"already_so":{"x1Y":null},"ID":true})";
  EXPECT_EQ(
      renamed(json, {KeyCase::snake_case, {}}),
      R"({"user_id":"userId","list":[{"created_at":1,"a\"B":2},"fileUrl"],"already_so":{"x1_y":null},"id":true})");
  EXPECT_EQ(renamed(R"({"goal_id":{"created_at":"a_b"},"_x":1,"y_":2})", {KeyCase::camel_case, {}}),
            R"({"goalId":{"createdAt":"a_b"},"_x":1,"y_":2})");
  EXPECT_EQ(renamed(json, {}), json);
}

TEST(WireStyle, ExceptionsByPathGoBeforeBareNames) {
  KeyStyle style{KeyCase::snake_case, {{"room", "conversation"}, {"message.room", "conversation_id"}}};
  EXPECT_EQ(renamed(R"({"message":{"room":"a","replyTo":null}})", style),
            R"({"message":{"conversation_id":"a","reply_to":null}})");
  EXPECT_EQ(renamed(R"({"room":{"id":"a"}})", style), R"({"conversation":{"id":"a"}})");
  EXPECT_EQ(
      renamed(R"({"messages":[{"room":"a"},{"room":"b"}]})", {KeyCase::as_is, {{"messages.room", "r"}}}),
      R"({"messages":[{"r":"a"},{"r":"b"}]})");
}

TEST(WireStyle, DataAloneOnSseKeepsItsId) {
  WireStyle style;
  style.sse.names = NameRule::upper_snake;
  style.sse.name_of["message.created"] = "NEW_MESSAGE";
  style.sse.body = BodyRule::data;
  EventRef event = encoded(draft_of("message.created", R"({"message":{"text":"hi"}})", style));
  EXPECT_EQ(event->sse(),
            "id: 9c1f00d2ab37-0000000000002a\nevent: NEW_MESSAGE\ndata: {\"message\":{\"text\":\"hi\"}}\n\n");
  // The other form is untouched, and the data is native.
  EXPECT_TRUE(
      event->json().starts_with(R"({"eventId":"9c1f00d2ab37-0000000000002a","type":"message.created")"));
  EXPECT_EQ(event->data(), R"({"message":{"text":"hi"}})");
  EXPECT_EQ(event->type(), "message.created");
}

TEST(WireStyle, WithoutNamesThereIsNoEventLine) {
  WireStyle style;
  style.sse.names = NameRule::message;
  EventRef event = encoded(draft_of("goal.created", "{}", style));
  EXPECT_TRUE(event->sse().starts_with("id: 9c1f00d2ab37-0000000000002a\ndata: {\"eventId\":"));
  EXPECT_NE(event->sse().find(R"("type":"goal.created")"), std::string_view::npos);
}

TEST(WireStyle, DataAloneOnWebSocketCarriesTheCursor) {
  WireStyle style;
  style.ws.body = BodyRule::data;
  EventRef event = encoded(draft_of("typing", R"({"isTyping":true})", style));
  EXPECT_EQ(event->json(), R"({"eventId":"9c1f00d2ab37-0000000000002a","type":"typing","isTyping":true})");
  EXPECT_EQ(event->data(), R"({"isTyping":true})");
  EXPECT_EQ(encoded(draft_of("x", "{}", style))->json(),
            R"({"eventId":"9c1f00d2ab37-0000000000002a","type":"x"})");
  EXPECT_EQ(encoded(draft_of("x", "[1]", style))->json(),
            R"({"eventId":"9c1f00d2ab37-0000000000002a","type":"x","data":[1]})");
  // Its own "type" stands, its own "eventId" does not: nothing may hide the cursor.
  for (const char* own :
       {R"({"eventId":"evt_1","type":"t","a":1})", R"({"type":"t","eventId":"evt_1","a":1})",
        R"({"type":"t","a":1,"eventId":"evt_1"})"})
    EXPECT_EQ(encoded(draft_of("x", own, style))->json(),
              R"({"eventId":"9c1f00d2ab37-0000000000002a","type":"t","a":1})");
}

TEST(WireStyle, MembersAreAddedOrRenamed) {
  WireStyle style;
  style.sse.body = BodyRule::data;
  style.sse.members = {{"room", "conversationId"}, {"tenantId", "tenantId"}};
  style.ws.members = {{"data", "payload"}, {"room", "conversationId"}};
  EventRef event = encoded(draft_of("typing", R"({"isTyping":true})", style));
  EXPECT_TRUE(event->sse().ends_with(
      "data: {\"tenantId\":\"acme\",\"conversationId\":\"lobby\",\"isTyping\":true}\n\n"));
  EXPECT_NE(event->json().find(R"("conversationId":"lobby","userId":"ann")"), std::string_view::npos);
  EXPECT_TRUE(event->json().ends_with(R"("payload":{"isTyping":true}})"));
}

// Every combination: the id, the eventId and message.id hold the sequence, and the JSON is valid.
TEST(WireStyle, EverySequencePlaceIsPatchedInEveryStyle) {
  const std::string front = R"({"message":{"createdBy":"x","id":"9c1f00d2ab37-)";
  const std::string data = front + R"(00000000000000","fileUrl":null}})";
  int seen = 0;
  for (int i = 0; i < 4 * 2 * 3 * 2 * 2; i++) {
    WireStyle style;
    int rest = i;
    auto pick = [&rest](int n) { return std::exchange(rest, rest / n) % n; };
    auto names = static_cast<NameRule>(pick(4));
    auto body = static_cast<BodyRule>(pick(2));
    auto keys = static_cast<KeyCase>(pick(3));
    bool sse = pick(2) == 1, members = pick(2) == 1;
    FormStyle& form = sse ? style.sse : style.ws;
    form.names = names;
    form.body = body;
    form.keys.rule = keys;
    if (members) form.members["eventId"] = "cursor";
    EventDraft draft = draft_of("message.created", data, style);
    draft.sequence_place = static_cast<uint32_t>(front.size());
    EventRef event = encoded(draft, Sequence{0x123456789abcd});
    const std::string id = "9c1f00d2ab37-0123456789abcd";
    std::string sse_json(event->sse().substr(event->sse().find("data: ") + 6));
    for (std::string json : {sse_json, std::string(event->json())}) {
      simdjson::dom::parser parser;
      simdjson::dom::element document;
      ASSERT_FALSE(parser.parse(json).get(document)) << json;
      EXPECT_EQ(json.find("-00000000000000"), std::string::npos) << json;
      std::string_view found;
      bool wrapped = !document["data"].error();
      auto message = wrapped ? document["data"]["message"] : document["message"];
      ASSERT_FALSE(message["id"].get_string().get(found)) << json;
      EXPECT_EQ(found, id);
    }
    EXPECT_EQ(event->data().substr(front.size(), 14), "0123456789abcd");
    EXPECT_TRUE(event->sse().starts_with("id: " + id + "\n"));
    simdjson::dom::parser parser;
    auto ws = parser.parse(std::string(event->json()));
    std::string_view cursor;
    ASSERT_FALSE(ws[members && !sse ? "cursor" : "eventId"].get_string().get(cursor)) << event->json();
    EXPECT_EQ(cursor, id);
    seen++;
  }
  EXPECT_EQ(seen, 96);
}

TEST(WireStyle, DirectEventsFollowIt) {
  WireStyle style;
  style.sse.names = NameRule::upper_snake;
  style.sse.body = style.ws.body = BodyRule::data;
  EventRef event = encode_direct("bye", "acme", R"({"code":"draining"})", 0, &style);
  EXPECT_EQ(event->sse(), "event: BYE\ndata: {\"code\":\"draining\"}\n\n");
  EXPECT_EQ(event->json(), R"({"type":"bye","code":"draining"})");
}

TEST(Bridge, TheLongestWildcardThatFits) {
  RouteTable routes = default_routes();
  routes["/api/*"] = {Route::Kind::path, "/old/*", {}};
  std::string_view tail;
  ASSERT_NE(find_route(routes, "/api/conversations/create", tail), nullptr);
  EXPECT_EQ(find_route(routes, "/api/conversations/create", tail)->alias.command, "rooms.*");
  EXPECT_EQ(tail, "create");
  EXPECT_EQ(find_route(routes, "/api/chat", tail)->target, "/ws");
  EXPECT_EQ(find_route(routes, "/api/else", tail)->target, "/old/*");
  EXPECT_EQ(tail, "else");
  EXPECT_EQ(find_route(routes, "/api/", tail), nullptr);
  EXPECT_EQ(find_route(routes, "/other", tail), nullptr);
}

TEST(Bridge, ATenantHasItsOwnOrThatOfAll) {
  Bridges bridges;
  bridges.common.room = "a";
  EXPECT_EQ(bridges.of("x").room, "a");
  bridges.tenants["x"].room = "b";
  EXPECT_EQ(bridges.of("x").room, "b");
  EXPECT_EQ(bridges.of("y").room, "a");
}

}  // namespace
}  // namespace twinwire
