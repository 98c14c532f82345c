# SPDX-License-Identifier: MIT
# XXH3, 64 bits, seeded: xxHash's specification (github.com/Cyan4973/xxHash,
# doc/xxhash_spec.md), for readers of stores that have no library at hand.
"""xxh3_64(data, seed=0) -> int"""

import struct

MASK = (1 << 64) - 1
PRIME32 = (0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D)
PRIME64 = (0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9,
           0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5)
SECRET = bytes.fromhex("""
b8fe6c3923a44bbe7c01812cf721ad1cded46de9839097db7240a4a4b7b3671f
cb79e64eccc0e578825ad07dccff7221b8084674f743248ee03590e6813a264c
3c2852bb91c300cb88d0658b1b532ea371644897a20df94e3819ef46a9deacd8
a8fa763fe39c343ff9dcbbc7c70b4f1d8a51e04bcdb45931c89f7ec9d9787364
eac5ac8334d3ebc3c581a0fffa1363eb170ddd51b7f0da49d316552629d4689e
2b16be587d47a1fc8ff8b8d17ad031ce45cb3a8f95160428afd7fbcabb4b407e
""")
STRIPE, BLOCK = 64, 1024


def u32(data, at):
    return int.from_bytes(data[at:at + 4], "little")


def u64(data, at):
    return int.from_bytes(data[at:at + 8], "little")


def fold(a, b):
    """The two halves of a 128-bit product, put together."""
    product = (a & MASK) * (b & MASK)
    return product & MASK ^ product >> 64


def avalanche(h):
    h &= MASK
    h ^= h >> 37
    h = h * 0x165667919E3779F9 & MASK
    return h ^ h >> 32


def avalanche_xxh64(h):
    h &= MASK
    h = (h ^ h >> 33) * PRIME64[1] & MASK
    h = (h ^ h >> 29) * PRIME64[2] & MASK
    return h ^ h >> 32


def rotate(x, n):
    return (x << n | x >> 64 - n) & MASK


def swap(value, size):
    return int.from_bytes(value.to_bytes(size, "little"), "big")


def hash_16(data, seed):
    """At most 16 bytes."""
    size = len(data)
    if size == 0:
        return avalanche_xxh64(seed ^ u64(SECRET, 56) ^ u64(SECRET, 64))
    if size < 4:
        mixed = (data[0] << 16 | data[size >> 1] << 24 | data[-1] | size << 8)
        flip = (u32(SECRET, 0) ^ u32(SECRET, 4)) + seed
        return avalanche_xxh64(mixed ^ flip & MASK)
    if size <= 8:
        seed ^= swap(seed & 0xFFFFFFFF, 4) << 32
        flip = (u64(SECRET, 8) ^ u64(SECRET, 16)) - seed & MASK
        h = u32(data, size - 4) + (u32(data, 0) << 32) ^ flip
        h ^= rotate(h, 49) ^ rotate(h, 24)
        h = h * 0x9FB21C651E98DF25 & MASK
        h = (h ^ (h >> 35) + size) * 0x9FB21C651E98DF25 & MASK
        return h ^ h >> 28
    low = u64(data, 0) ^ (u64(SECRET, 24) ^ u64(SECRET, 32)) + seed & MASK
    high = (u64(data, size - 8)
            ^ (u64(SECRET, 40) ^ u64(SECRET, 48)) - seed & MASK)
    return avalanche(size + swap(low, 8) + high + fold(low, high))


def mix(data, at, secret_at, seed):
    return fold(u64(data, at) ^ u64(SECRET, secret_at) + seed & MASK,
                u64(data, at + 8) ^ u64(SECRET, secret_at + 8) - seed & MASK)


def hash_128(data, seed):
    size = len(data)
    h = size * PRIME64[0]
    for i in range((size - 1) // 32 + 1):
        h += mix(data, 16 * i, 32 * i, seed)
        h += mix(data, size - 16 * (i + 1), 32 * i + 16, seed)
    return avalanche(h)


def hash_240(data, seed):
    size = len(data)
    h = size * PRIME64[0]
    for i in range(8):
        h += mix(data, 16 * i, 16 * i, seed)
    h = avalanche(h)
    for i in range(8, size // 16):
        h += mix(data, 16 * i, 16 * (i - 8) + 3, seed)
    return avalanche(h + mix(data, size - 16, 136 - 17, seed))


def accumulate(lanes, stripe, keys):
    for i in range(8):
        value = stripe[i]
        keyed = value ^ keys[i]
        lanes[i ^ 1] += value
        lanes[i] += (keyed & 0xFFFFFFFF) * (keyed >> 32)


def hash_long(data, seed):
    size, secret = len(data), b"".join(
        struct.pack("<QQ", u64(SECRET, at) + seed & MASK,
                    u64(SECRET, at + 8) - seed & MASK)
        for at in range(0, len(SECRET), 16))
    lanes = [PRIME32[2], PRIME64[0], PRIME64[1], PRIME64[2],
             PRIME64[3], PRIME32[1], PRIME64[4], PRIME32[0]]
    eight = struct.Struct("<8Q").unpack_from
    keys = [eight(secret, 8 * n) for n in range(BLOCK // STRIPE)]
    scramble = eight(secret, len(secret) - STRIPE)
    for n in range((size - 1) // STRIPE):
        accumulate(lanes, eight(data, n * STRIPE), keys[n % len(keys)])
        if (n + 1) % len(keys) == 0:
            for i in range(8):
                lane = lanes[i] & MASK
                lanes[i] = (lane ^ lane >> 47 ^ scramble[i]) * PRIME32[0]
    accumulate(lanes, eight(data, size - STRIPE),
               eight(secret, len(secret) - STRIPE - 7))
    h = size * PRIME64[0]
    for i in range(4):
        h += fold(lanes[2 * i] & MASK ^ u64(secret, 11 + 16 * i),
                  lanes[2 * i + 1] & MASK ^ u64(secret, 19 + 16 * i))
    return avalanche(h)


def xxh3_64(data, seed=0):
    for most, function in ((16, hash_16), (128, hash_128), (240, hash_240)):
        if len(data) <= most:
            return function(data, seed)
    return hash_long(data, seed)
