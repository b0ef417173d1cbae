<?php
// What PHP makes of a request, for `php -S`.
header('content-type: application/json');
echo json_encode([
    'method' => $_SERVER['REQUEST_METHOD'],
    'path' => rawurldecode(parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH)),
    'host' => $_SERVER['HTTP_HOST'] ?? '',
    'client' => $_SERVER['REMOTE_ADDR'],
    'seen' => (object) array_map('strval', array_filter($_SERVER, 'is_scalar')),
    'cookies' => (object) $_COOKIE,
]);
