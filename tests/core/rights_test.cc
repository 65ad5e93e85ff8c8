// Who may do what in which room: patterns, grants, membership, and that every command that names a room asks.
#include <gtest/gtest.h>

#include "core/json.h"
#include "core/pattern.h"
#include "tests/core/small_engine.h"

namespace twinwire {
namespace {

Identity user(std::string_view name, std::string_view tenant = "default") {
  Identity who;
  who.user = Name(tenant, name);
  return who;
}

Identity with_grants(Identity who, std::vector<Grants::Line> lines) {
  auto grants = std::make_shared<Grants>();
  grants->lines = std::move(lines);
  who.grants = std::move(grants);
  return who;
}

Rights rights_of(std::initializer_list<Right> list) {
  Rights rights;
  for (Right right : list) rights.add(right);
  return rights;
}

Config jwt_config() {
  Config config;
  config.auth.mode = AuthMode::jwt;
  return config;
}

std::string room_id_in(const Reply& reply) {
  size_t at = reply.body.find("\"id\":\"") + 6;
  return reply.body.substr(at, reply.body.find('"', at) - at);
}

TEST(Pattern, Stars) {
  EXPECT_TRUE(matches_pattern("lobby", "lobby"));
  EXPECT_FALSE(matches_pattern("lobby", "lobby2"));
  EXPECT_FALSE(matches_pattern("lobby", "Lobby"));
  EXPECT_TRUE(matches_pattern("*", ""));
  EXPECT_TRUE(matches_pattern("*", "a/b.c:d"));
  EXPECT_TRUE(matches_pattern("a.*", "a.b.c"));
  EXPECT_TRUE(matches_pattern("a.*", "a."));
  EXPECT_FALSE(matches_pattern("a.*", "ab"));
  EXPECT_TRUE(matches_pattern("*-x-*", "1-x-2-x-3"));
  EXPECT_TRUE(matches_pattern("*abc", "ababc"));
  EXPECT_FALSE(matches_pattern("*abc", "abcd"));
  EXPECT_TRUE(matches_pattern("a**b", "ab"));
  EXPECT_FALSE(matches_pattern("", "a"));
}

TEST(Grants, OfARoomAreThoseOfAllMatchingPatterns) {
  Grants grants;
  grants.lines = {{"team.*", rights_of({Right::read})}, {"*.a", rights_of({Right::write})}};
  EXPECT_EQ(grants.of("team.a"), rights_of({Right::read, Right::write}));
  EXPECT_EQ(grants.of("team.b"), rights_of({Right::read}));
  EXPECT_EQ(grants.of("else"), Rights());
  Rights rights;
  EXPECT_TRUE(rights.add_word("manage"));
  EXPECT_FALSE(rights.add_word("Read"));
  EXPECT_FALSE(rights.add_word("none"));
  EXPECT_EQ(rights.text(), "manage");
}

// A value for every parameter of a row, with the room given.
std::string arguments(const CommandRow& row, std::string_view room) {
  std::string json;
  JsonObject object(json);
  for (const FieldSpec& spec : row.fields) {
    std::string_view name = wire_name(spec.field);
    if (spec.field == Field::room)
      object.field(name, room);
    else if (spec.shape == Shape::object)
      object.raw(name, "{}");
    else if (spec.field == Field::content || spec.field == Field::user_name)
      object.field(name, "text");
    else if (spec.required && spec.shape == Shape::text)
      object.field(name, "text");
    else if (spec.required && (spec.shape == Shape::user_name || spec.shape == Shape::event_type))
      object.field(name, "somebody");
    else if (spec.required && spec.shape == Shape::boolean)
      object.raw(name, "true");
    else if (spec.required && spec.shape == Shape::user_names)
      object.raw(name, "[\"somebody\"]");
    else if (spec.required && (spec.shape == Shape::cursor_or_time || spec.shape == Shape::event_id))
      object.field(name, "000000000000-00000000000001");
  }
  object.end();
  return json;
}

// By construction: whatever names a room asks for a right there, and a stranger gets the same answer from a
// room that is closed to them and from one that does not exist.
TEST(Rights, EveryCommandThatNamesARoomAsks) {
  SmallEngine small(2);
  Identity ann = user("ann"), eve = user("eve");
  Reply made = small.command(0, ann, "rooms.create", R"({"participantIds":["bob","cat"],"isGroup":true})");
  ASSERT_EQ(made.code, Code::ok) << made.body;
  std::string closed = room_id_in(made);
  ASSERT_TRUE(closed.starts_with("group-")) << closed;
  std::string none = "group-00000000000000000000000000000000";
  uint32_t asked = 0;
  for (const CommandRow& row : command_table()) {
    bool names_room = false;
    for (const FieldSpec& spec : row.fields) names_room |= spec.field == Field::room;
    if (!names_room || row.name == "rooms.leave") continue;
    asked++;
    Reply refused = small.command(0, eve, row.name, arguments(row, closed));
    EXPECT_EQ(refused.code, Code::forbidden) << row.name << " " << refused.body;
    Reply missing = small.command(0, eve, row.name, arguments(row, none));
    EXPECT_EQ(missing.body, refused.body) << row.name;
  }
  EXPECT_GE(asked, 8u);
  // rooms.leave asks nothing and tells nothing.
  EXPECT_EQ(small.command(0, eve, "rooms.leave", "{\"room\":\"" + closed + "\"}").body,
            small.command(0, eve, "rooms.leave", "{\"room\":\"" + none + "\"}").body);
}

TEST(Rights, OfAClosedRoomComeFromMembership) {
  SmallEngine small(2, jwt_config());
  Identity ann = user("ann"), bob = user("bob");
  std::string closed =
      room_id_in(small.command(0, ann, "rooms.create", R"({"participantIds":["bob","cat"],"isGroup":true})"));
  std::string room = "{\"room\":\"" + closed + "\",\"content\":\"x\"}";
  EXPECT_EQ(small.command(0, bob, "messages.send", room).code, Code::ok);
  EXPECT_EQ(small.command(0, bob, "rooms.clear", room).code, Code::forbidden);
  EXPECT_EQ(small.command(0, ann, "rooms.clear", room).code, Code::ok);
  // A grant lets nobody into a closed room; it makes a member one who manages.
  std::vector<Grants::Line> all = {{"*", Rights::all()}};
  EXPECT_EQ(small.command(0, with_grants(user("eve"), all), "messages.send", room).code, Code::forbidden);
  EXPECT_EQ(small.command(0, with_grants(bob, all), "rooms.clear", room).code, Code::ok);
  // In a direct room both manage.
  std::string direct = room_id_in(small.command(0, ann, "rooms.create", R"({"participantIds":["bob"]})"));
  EXPECT_EQ(small.command(0, bob, "rooms.clear", "{\"room\":\"" + direct + "\"}").code, Code::ok);
}

TEST(Rights, OfAnOpenRoomComeFromTheToken) {
  SmallEngine small(2, jwt_config());
  Identity ann = user("ann");
  std::string lobby = R"({"room":"lobby","content":"x"})";
  EXPECT_EQ(small.command(0, ann, "messages.send", lobby).code, Code::ok);
  EXPECT_EQ(small.command(0, ann, "rooms.clear", lobby).code, Code::forbidden) << "auth.default_rights";
  Identity reader = with_grants(ann, {{"lob*", rights_of({Right::read})}});
  EXPECT_EQ(small.command(0, reader, "messages.load", lobby).code, Code::ok);
  EXPECT_EQ(small.command(0, reader, "messages.send", lobby).code, Code::forbidden);
  EXPECT_EQ(small.command(0, reader, "presence.list", lobby).code, Code::forbidden);
  EXPECT_EQ(small.command(0, reader, "messages.load", R"({"room":"other"})").code, Code::forbidden);
  // An empty claim grants nothing: it is not the same as none.
  EXPECT_EQ(small.command(0, with_grants(ann, {}), "messages.load", lobby).code, Code::forbidden);
}

TEST(Rights, RoomsLoadShowsWhatTheTokenLetsRead) {
  SmallEngine small(2, jwt_config());
  Identity ann = user("ann");
  for (std::string_view room : {"a", "b"})
    ASSERT_EQ(small.command(0, ann, "rooms.join", "{\"room\":\"" + std::string(room) + "\"}").code, Code::ok);
  Reply all = small.command(1, ann, "rooms.load", "{}");
  EXPECT_NE(all.body.find("\"id\":\"a\""), std::string::npos) << all.body;
  Reply some = small.command(1, with_grants(ann, {{"b", rights_of({Right::read})}}), "rooms.load", "{}");
  EXPECT_EQ(some.body.find("\"id\":\"a\""), std::string::npos) << some.body;
  EXPECT_NE(some.body.find("\"id\":\"b\""), std::string::npos) << some.body;
}

TEST(Rights, ABackendPublishesInItsTenantAndIsNobody) {
  SmallEngine small(2, jwt_config());
  Identity key = user("key:billing");
  key.backend = true;
  std::string closed = room_id_in(
      small.command(0, user("ann"), "rooms.create", R"({"participantIds":["bob","cat"],"isGroup":true})"));
  EXPECT_EQ(small.command(0, key, "events.publish", "{\"room\":\"" + closed + "\",\"type\":\"goal\"}").code,
            Code::ok);
  EXPECT_EQ(small.command(0, key, "events.publish", R"({"user":"ann","type":"goal"})").code, Code::ok);
  EXPECT_EQ(small.command(0, user("ann"), "events.publish", R"({"user":"bob","type":"goal"})").code,
            Code::forbidden);
  EXPECT_EQ(small.command(0, key, "typing.start", R"({"room":"lobby"})").code, Code::forbidden);
  EXPECT_EQ(small.command(0, key, "rooms.join", R"({"room":"lobby"})").code, Code::forbidden);
  // A key may be kept to some rooms.
  Identity kept = with_grants(key, {{"bills.*", rights_of({Right::write})}});
  EXPECT_EQ(small.command(0, kept, "events.publish", R"({"room":"bills.1","type":"goal"})").code, Code::ok);
  EXPECT_EQ(small.command(0, kept, "events.publish", R"({"room":"lobby","type":"goal"})").code,
            Code::forbidden);
}

TEST(Rights, AStreamIsGivenTheRoomsOfItsToken) {
  SmallEngine small(2, jwt_config());
  StreamRequest request;
  request.form = Form::sse;
  request.who =
      with_grants(user("ann"), {{"a*", rights_of({Right::read})}, {"b", rights_of({Right::write})}});
  request.rooms = {"a1", "b", "c"};
  small.open(0, ConnectionId{1}, request);
  const std::string& sent = small.transport(0).sent[ConnectionId{1}];
  EXPECT_NE(sent.find(R"("rooms":["a1"]})"), std::string::npos) << sent;
  EXPECT_NE(sent.find(R"("rooms":["b","c"],"reason":"forbidden")"), std::string::npos) << sent;
  // The second stream of the shard takes the short way into a room that is followed already.
  request.who = with_grants(user("bob"), {{"c", rights_of({Right::read})}});
  request.rooms = {"a1", "c"};
  small.open(0, ConnectionId{2}, request);
  const std::string& second = small.transport(0).sent[ConnectionId{2}];
  EXPECT_NE(second.find(R"("rooms":["a1"],"reason":"forbidden")"), std::string::npos) << second;
  small.command(1, user("cat"), "messages.send", R"({"room":"a1","content":"secret"})");
  EXPECT_NE(small.transport(0).sent[ConnectionId{1}].find("secret"), std::string::npos);
  EXPECT_EQ(small.transport(0).sent[ConnectionId{2}].find("secret"), std::string::npos);
}

TEST(Rights, WhoIsWithoutPresenceIsNeitherCountedNorTold) {
  SmallEngine small(1, jwt_config());
  StreamRequest request;
  request.who = with_grants(user("ghost"), {{"*", rights_of({Right::read})}});
  request.rooms = {"lobby"};
  small.open(0, ConnectionId{1}, request);
  request.who = user("ann");
  small.open(0, ConnectionId{2}, request);
  request.who = user("bob");
  small.open(0, ConnectionId{3}, request);
  small.pass(1100);
  small.pass(1100);
  Reply list = small.command(0, user("ann"), "presence.list", R"({"room":"lobby"})");
  EXPECT_NE(list.body.find("\"count\":2"), std::string::npos) << list.body;
  EXPECT_EQ(list.body.find("ghost"), std::string::npos);
  EXPECT_NE(small.transport(0).sent[ConnectionId{2}].find("event: presence."), std::string::npos);
  EXPECT_EQ(small.transport(0).sent[ConnectionId{1}].find("event: presence."), std::string::npos);
}

}  // namespace
}  // namespace twinwire
