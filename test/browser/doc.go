// Package browser tests the dashboard as people meet it: in a real Chromium,
// against a whole "testbed up", on a telephone's width and a desktop's, in the
// light and in the dark, by mouse and by keyboard, and by axe-core for those
// who hear a page.
//
// It must not know the pages' code. Start reading at dashboard_test.go;
// screenshots are kept in .cache/screenshots.
package browser
