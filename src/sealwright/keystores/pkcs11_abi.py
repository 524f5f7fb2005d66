"""PKCS#11 as C sees it: structures, function numbers and constants that we use.

Names and values: OASIS PKCS #11 Specification Version 3.1, sections 3 and 5, and its header files (ML-DSA: 3.2); the
layout is that of Unix (native ``unsigned long``, natural alignment).  Other mechanisms are plain integers, so
vendor ones need no entry here.
"""

import ctypes
from ctypes import POINTER, c_char_p, c_ubyte, c_ulong, c_void_p
from typing import Any, Final


class Version(ctypes.Structure):
    """CK_VERSION."""

    _fields_ = (("major", c_ubyte), ("minor", c_ubyte))


class FunctionList(ctypes.Structure):
    """CK_FUNCTION_LIST: a version, padded to a pointer, then 68 function pointers."""

    _fields_ = (("version", Version), ("functions", c_void_p * 68))


class InitializeArguments(ctypes.Structure):
    """CK_C_INITIALIZE_ARGS."""

    _fields_ = (
        ("create_mutex", c_void_p),
        ("destroy_mutex", c_void_p),
        ("lock_mutex", c_void_p),
        ("unlock_mutex", c_void_p),
        ("flags", c_ulong),
        ("reserved", c_void_p),
        ("behind", c_void_p),  # NSS reads one pointer more (its own parameters); null for it, unseen by others
    )


class TokenInfo(ctypes.Structure):
    """CK_TOKEN_INFO; texts are padded with spaces."""

    _fields_ = (
        ("label", c_ubyte * 32),
        ("manufacturer", c_ubyte * 32),
        ("model", c_ubyte * 16),
        ("serial_number", c_ubyte * 16),
        ("flags", c_ulong),
        ("counts_and_memory", c_ulong * 10),
        ("hardware_version", Version),
        ("firmware_version", Version),
        ("utc_time", c_ubyte * 16),
    )


class MechanismStructure(ctypes.Structure):
    """CK_MECHANISM."""

    _fields_ = (("mechanism", c_ulong), ("parameter", c_void_p), ("parameter_length", c_ulong))


class AttributeStructure(ctypes.Structure):
    """CK_ATTRIBUTE."""

    _fields_ = (("type", c_ulong), ("value", c_void_p), ("length", c_ulong))


_ULONG_POINTER = POINTER(c_ulong)
_ATTRIBUTES = POINTER(AttributeStructure)
_MECHANISM = POINTER(MechanismStructure)

FUNCTIONS: Final[dict[str, tuple[int, tuple[Any, ...]]]] = {
    "C_Initialize": (0, (POINTER(InitializeArguments),)),
    "C_Finalize": (1, (c_void_p,)),
    "C_GetSlotList": (4, (c_ubyte, _ULONG_POINTER, _ULONG_POINTER)),
    "C_GetTokenInfo": (6, (c_ulong, POINTER(TokenInfo))),
    "C_InitToken": (9, (c_ulong, c_char_p, c_ulong, c_char_p)),
    "C_InitPIN": (10, (c_ulong, c_char_p, c_ulong)),
    "C_OpenSession": (12, (c_ulong, c_ulong, c_void_p, c_void_p, _ULONG_POINTER)),
    "C_CloseSession": (13, (c_ulong,)),
    "C_Login": (18, (c_ulong, c_ulong, c_char_p, c_ulong)),
    "C_Logout": (19, (c_ulong,)),
    "C_CreateObject": (20, (c_ulong, _ATTRIBUTES, c_ulong, _ULONG_POINTER)),
    "C_DestroyObject": (22, (c_ulong, c_ulong)),
    "C_GetAttributeValue": (24, (c_ulong, c_ulong, _ATTRIBUTES, c_ulong)),
    "C_SetAttributeValue": (25, (c_ulong, c_ulong, _ATTRIBUTES, c_ulong)),
    "C_FindObjectsInit": (26, (c_ulong, _ATTRIBUTES, c_ulong)),
    "C_FindObjects": (27, (c_ulong, _ULONG_POINTER, c_ulong, _ULONG_POINTER)),
    "C_FindObjectsFinal": (28, (c_ulong,)),
    "C_SignInit": (42, (c_ulong, _MECHANISM, c_ulong)),
    "C_Sign": (43, (c_ulong, c_char_p, c_ulong, c_void_p, _ULONG_POINTER)),
    "C_GenerateKeyPair": (
        59,
        (c_ulong, _MECHANISM, _ATTRIBUTES, c_ulong, _ATTRIBUTES, c_ulong, _ULONG_POINTER, _ULONG_POINTER),
    ),
}
"""Name: place in the function list and argument types."""

UNAVAILABLE_INFORMATION: Final = c_ulong(-1).value

CKF_OS_LOCKING_OK = 0x2
CKF_RW_SESSION = 0x2
CKF_SERIAL_SESSION = 0x4
CKF_TOKEN_INITIALIZED = 0x400
CKF_USER_PIN_FINAL_TRY = 0x20000
CKF_USER_PIN_LOCKED = 0x40000
CKU_SO = 0
CKU_USER = 1

CKO_PUBLIC_KEY = 2
CKO_PRIVATE_KEY = 3
CKK_RSA = 0x0
CKK_EC = 0x3
CKK_EC_EDWARDS = 0x40
CKK_ML_DSA = 0x4A

CKA_CLASS = 0x0
CKA_TOKEN = 0x1
CKA_PRIVATE = 0x2
CKA_LABEL = 0x3
CKA_VALUE = 0x11
CKA_KEY_TYPE = 0x100
CKA_ID = 0x102
CKA_SENSITIVE = 0x103
CKA_DECRYPT = 0x105
CKA_UNWRAP = 0x107
CKA_SIGN = 0x108
CKA_VERIFY = 0x10A
CKA_DERIVE = 0x10C
CKA_MODULUS = 0x120
CKA_MODULUS_BITS = 0x121
CKA_PUBLIC_EXPONENT = 0x122
CKA_PRIVATE_EXPONENT = 0x123
CKA_PRIME_1 = 0x124
CKA_PRIME_2 = 0x125
CKA_EXPONENT_1 = 0x126
CKA_EXPONENT_2 = 0x127
CKA_COEFFICIENT = 0x128
CKA_EXTRACTABLE = 0x162
CKA_LOCAL = 0x163
CKA_NEVER_EXTRACTABLE = 0x164
CKA_ALWAYS_SENSITIVE = 0x165
CKA_EC_PARAMS = 0x180
CKA_EC_POINT = 0x181
CKA_PARAMETER_SET = 0x61D

CKM_RSA_PKCS_KEY_PAIR_GEN = 0x0
CKM_RSA_PKCS = 0x1
CKM_RSA_PKCS_PSS = 0xD
CKM_ML_DSA_KEY_PAIR_GEN = 0x1C
CKM_ML_DSA = 0x1D
CKM_SHA256 = 0x250
CKM_SHA384 = 0x260
CKM_SHA512 = 0x270
CKM_EC_KEY_PAIR_GEN = 0x1040
CKM_ECDSA = 0x1041
CKM_EC_EDWARDS_KEY_PAIR_GEN = 0x1055
CKM_EDDSA = 0x1057
CKG_MGF1_SHA256 = 0x2
CKG_MGF1_SHA384 = 0x3
CKG_MGF1_SHA512 = 0x4

CKR_ATTRIBUTE_SENSITIVE = 0x11
CKR_ATTRIBUTE_TYPE_INVALID = 0x12
CKR_FUNCTION_NOT_SUPPORTED = 0x54
CKR_CRYPTOKI_ALREADY_INITIALIZED = 0x191
CKR_USER_ALREADY_LOGGED_IN = 0x100

CREDENTIAL_ERRORS: Final[dict[int, str]] = {
    0xA0: "CKR_PIN_INCORRECT",
    0xA1: "CKR_PIN_INVALID",
    0xA2: "CKR_PIN_LEN_RANGE",
    0xA3: "CKR_PIN_EXPIRED",
    0xA4: "CKR_PIN_LOCKED",
}
"""The PIN is wrong or may not be used."""

UNTRIED_ERRORS: Final = frozenset({0x2, 0x30, 0x31, 0x32, 0xB0, 0xB1, 0xB3, 0xE0, 0xE1, 0x190})
"""Answers of C_Login by a token that is away, or a session that is gone: it did not look at the PIN.

After any other one, a vendor's own above all, nobody knows whether it counted the try.
"""

CONFIGURATION_ERRORS: Final[dict[int, str]] = {
    0x10: "CKR_ATTRIBUTE_READ_ONLY",
    0x11: "CKR_ATTRIBUTE_SENSITIVE",
    0x12: "CKR_ATTRIBUTE_TYPE_INVALID",
    0x13: "CKR_ATTRIBUTE_VALUE_INVALID",
    0x20: "CKR_DATA_INVALID",
    0x21: "CKR_DATA_LEN_RANGE",
    0x54: "CKR_FUNCTION_NOT_SUPPORTED",
    0x62: "CKR_KEY_SIZE_RANGE",
    0x63: "CKR_KEY_TYPE_INCONSISTENT",
    0x68: "CKR_KEY_FUNCTION_NOT_PERMITTED",
    0x70: "CKR_MECHANISM_INVALID",
    0x71: "CKR_MECHANISM_PARAM_INVALID",
    0xB5: "CKR_SESSION_READ_ONLY",
    0xD0: "CKR_TEMPLATE_INCOMPLETE",
    0xD1: "CKR_TEMPLATE_INCONSISTENT",
    0xE2: "CKR_TOKEN_WRITE_PROTECTED",
    0x100: "CKR_USER_ALREADY_LOGGED_IN",
    0x140: "CKR_DOMAIN_PARAMS_INVALID",
    0x141: "CKR_CURVE_NOT_SUPPORTED",
}
"""The token will say the same tomorrow."""

UNAVAILABLE_ERRORS: Final[dict[int, str]] = {
    0x2: "CKR_HOST_MEMORY",
    0x5: "CKR_GENERAL_ERROR",
    0x6: "CKR_FUNCTION_FAILED",
    0x30: "CKR_DEVICE_ERROR",
    0x31: "CKR_DEVICE_MEMORY",
    0x32: "CKR_DEVICE_REMOVED",
    0x60: "CKR_KEY_HANDLE_INVALID",
    0x82: "CKR_OBJECT_HANDLE_INVALID",
    0xB0: "CKR_SESSION_CLOSED",
    0xB1: "CKR_SESSION_COUNT",
    0xB3: "CKR_SESSION_HANDLE_INVALID",
    0xE0: "CKR_TOKEN_NOT_PRESENT",
    0xE1: "CKR_TOKEN_NOT_RECOGNIZED",
    0x101: "CKR_USER_NOT_LOGGED_IN",
    0x190: "CKR_CRYPTOKI_NOT_INITIALIZED",
}
"""The login is not usable now; so is every code that stands nowhere here, vendor ones included."""
