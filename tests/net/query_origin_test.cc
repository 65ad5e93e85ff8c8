// Query strings, and who may talk to us from inside a browser.
#include <gtest/gtest.h>

#include "net/origin.h"
#include "net/query.h"

namespace twinwire {
namespace {

TEST(Query, ValuesAndLists) {
  Query query("rooms=a,b%2Cc&rooms=%C3%A9+x&id=alice&empty=&flag&lastEventId=1%2d2&ro%6Fms=last,,");
  EXPECT_EQ(query.list("rooms"), (std::vector<std::string>{"a", "b,c", "é x", "last"}));
  EXPECT_EQ(query.value("id"), "alice");
  EXPECT_EQ(query.value("empty"), "");
  EXPECT_EQ(query.value("flag"), "");
  EXPECT_EQ(query.value("lastEventId"), "1-2");
  EXPECT_EQ(query.value("absent"), std::nullopt);
  EXPECT_FALSE(query.malformed());
  for (const char* bad : {"id=%", "id=%4", "id=%zz", "id=abc%2"}) {
    Query broken(bad);
    EXPECT_EQ(broken.value("id"), std::nullopt) << bad;
    EXPECT_TRUE(broken.malformed()) << bad;
  }
  EXPECT_EQ(percent_decode("%00%ff"), std::string("\0\xff", 2));
  EXPECT_EQ(percent_encode("a b/é"), "a%20b%2F%C3%A9");
}

TEST(Origin, OnlyNamesThatNoStrangersDnsCanPointHere) {
  OriginPolicy policy({.allow = {"https://app.example.com"}, .hosts = {"chat.internal"}});
  for (const char* good : {"127.0.0.1:8080", "localhost", "LocalHost:1", "x.localhost", "[::1]:8080",
                           "10.0.0.7", "", "chat.internal:80", "app.example.com", "localhost."}) {
    EXPECT_TRUE(policy.host_allowed(good)) << good;
  }
  for (const char* bad :
       {"evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "1.2.3", "[::zz]"}) {
    EXPECT_FALSE(policy.host_allowed(bad)) << bad;
  }
}

TEST(Origin, OursOrListed) {
  OriginPolicy policy({.allow = {"https://app.example.com:443/"}, .hosts = {}});
  EXPECT_TRUE(policy.origin_allowed("http://127.0.0.1:8080", "127.0.0.1:8080"));
  EXPECT_TRUE(policy.origin_allowed("https://127.0.0.1:8080", "127.0.0.1:8080"));
  EXPECT_TRUE(policy.origin_allowed("http://localhost", "localhost:80"));
  EXPECT_TRUE(policy.origin_allowed("https://APP.example.com", "127.0.0.1"));
  for (const char* bad : {"http://evil.example", "null", "http://127.0.0.1:9999", "http://app.example.com",
                          "", "file://", "http://127.0.0.1:80801"}) {
    EXPECT_FALSE(policy.origin_allowed(bad, "127.0.0.1:8080")) << bad;
  }
  OriginPolicy open({.allow = {"*"}, .hosts = {}});
  EXPECT_TRUE(open.origin_allowed("http://evil.example", "127.0.0.1:8080"));
  EXPECT_TRUE(open.host_allowed("chat.example:443")) << "the hosts of all origins are all hosts";
  HttpRequest request;
  request.host = "chat.example";
  request.fields = {{"Origin", "https://elsewhere.example"}};
  EXPECT_EQ(open.check(request), OriginPolicy::Verdict::allowed);
  EXPECT_FALSE(open.is_ours(request)) << "which is no word on cookies";
}

TEST(Origin, TheBrowsersWordCountsWithoutOrigin) {
  OriginPolicy policy({});
  HttpRequest request;
  request.host = "127.0.0.1:8080";
  EXPECT_EQ(policy.check(request), OriginPolicy::Verdict::allowed);
  request.fields = {{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Mode", "no-cors"}};
  EXPECT_EQ(policy.check(request), OriginPolicy::Verdict::foreign_origin);
  request.fields = {{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Mode", "navigate"}};
  EXPECT_EQ(policy.check(request), OriginPolicy::Verdict::allowed);
  request.fields = {{"Origin", "http://evil.example"}};
  EXPECT_EQ(policy.check(request), OriginPolicy::Verdict::foreign_origin);
  request.host = "evil.example";
  EXPECT_EQ(policy.check(request), OriginPolicy::Verdict::bad_host);
}

TEST(Origin, CorsNamesTheOrigin) {
  OriginPolicy policy({.allow = {"https://app.example.com"}, .hosts = {}});
  HttpRequest request;
  request.host = "127.0.0.1";
  std::string out;
  policy.append_cors(out, request);
  EXPECT_EQ(out, "");
  request.fields = {{"Origin", "http://evil.example"}};
  policy.append_cors(out, request);
  EXPECT_EQ(out, "");
  request.fields = {{"Origin", "https://app.example.com"}};
  policy.append_cors(out, request);
  EXPECT_EQ(out.find("Access-Control-Allow-Origin: https://app.example.com\r\n"), 0u);
}

}  // namespace
}  // namespace twinwire
