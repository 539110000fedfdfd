from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Bursts(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    BURSTS_UNSPECIFIED: _ClassVar[Bursts]
    BURSTS_MERGE: _ClassVar[Bursts]
    BURSTS_KEEP: _ClassVar[Bursts]

class Boxes(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    BOXES_UNSPECIFIED: _ClassVar[Boxes]
    BOXES_IMAGE: _ClassVar[Boxes]
    BOXES_PICTURE: _ClassVar[Boxes]

class Noise(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    NOISE_UNSPECIFIED: _ClassVar[Noise]
    NOISE_REMOVE: _ClassVar[Noise]
    NOISE_KEEP: _ClassVar[Noise]

class Orient(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ORIENT_UNSPECIFIED: _ClassVar[Orient]
    ORIENT_NORTH: _ClassVar[Orient]

class Calibration(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CALIBRATION_UNSPECIFIED: _ClassVar[Calibration]
    CALIBRATION_SIGMA0: _ClassVar[Calibration]
    CALIBRATION_BETA0: _ClassVar[Calibration]
    CALIBRATION_GAMMA0: _ClassVar[Calibration]

class Preset(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PRESET_UNSPECIFIED: _ClassVar[Preset]
    PRESET_SARLANG: _ClassVar[Preset]
    PRESET_PLAIN: _ClassVar[Preset]

class Filter(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FILTER_UNSPECIFIED: _ClassVar[Filter]
    FILTER_REFINED_LEE: _ClassVar[Filter]
    FILTER_LEE: _ClassVar[Filter]
    FILTER_FROST: _ClassVar[Filter]
    FILTER_GAMMA_MAP: _ClassVar[Filter]
    FILTER_NONE: _ClassVar[Filter]

class Scale(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SCALE_UNSPECIFIED: _ClassVar[Scale]
    SCALE_DB: _ClassVar[Scale]
    SCALE_LINEAR: _ClassVar[Scale]

class Application(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    APPLICATION_UNSPECIFIED: _ClassVar[Application]
    APPLICATION_IMAGE_DESCRIPTION: _ClassVar[Application]
    APPLICATION_OBJECT_IDENTIFICATION: _ClassVar[Application]
    APPLICATION_OBJECT_CLASSIFICATION: _ClassVar[Application]
    APPLICATION_INSTANCE_COUNTING: _ClassVar[Application]
    APPLICATION_REGION_REFERRING: _ClassVar[Application]
    APPLICATION_OBJECT_POSITIONING: _ClassVar[Application]
    APPLICATION_OTHERS: _ClassVar[Application]

class Style(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    STYLE_UNSPECIFIED: _ClassVar[Style]
    STYLE_CONCISE: _ClassVar[Style]
    STYLE_COMPLEX: _ClassVar[Style]

class Objects(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OBJECTS_UNSPECIFIED: _ClassVar[Objects]
    OBJECTS_CONFIRMED: _ClassVar[Objects]
    OBJECTS_ALL: _ClassVar[Objects]

class Detector(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DETECTOR_UNSPECIFIED: _ClassVar[Detector]
    DETECTOR_CFAR: _ClassVar[Detector]
BURSTS_UNSPECIFIED: Bursts
BURSTS_MERGE: Bursts
BURSTS_KEEP: Bursts
BOXES_UNSPECIFIED: Boxes
BOXES_IMAGE: Boxes
BOXES_PICTURE: Boxes
NOISE_UNSPECIFIED: Noise
NOISE_REMOVE: Noise
NOISE_KEEP: Noise
ORIENT_UNSPECIFIED: Orient
ORIENT_NORTH: Orient
CALIBRATION_UNSPECIFIED: Calibration
CALIBRATION_SIGMA0: Calibration
CALIBRATION_BETA0: Calibration
CALIBRATION_GAMMA0: Calibration
PRESET_UNSPECIFIED: Preset
PRESET_SARLANG: Preset
PRESET_PLAIN: Preset
FILTER_UNSPECIFIED: Filter
FILTER_REFINED_LEE: Filter
FILTER_LEE: Filter
FILTER_FROST: Filter
FILTER_GAMMA_MAP: Filter
FILTER_NONE: Filter
SCALE_UNSPECIFIED: Scale
SCALE_DB: Scale
SCALE_LINEAR: Scale
APPLICATION_UNSPECIFIED: Application
APPLICATION_IMAGE_DESCRIPTION: Application
APPLICATION_OBJECT_IDENTIFICATION: Application
APPLICATION_OBJECT_CLASSIFICATION: Application
APPLICATION_INSTANCE_COUNTING: Application
APPLICATION_REGION_REFERRING: Application
APPLICATION_OBJECT_POSITIONING: Application
APPLICATION_OTHERS: Application
STYLE_UNSPECIFIED: Style
STYLE_CONCISE: Style
STYLE_COMPLEX: Style
OBJECTS_UNSPECIFIED: Objects
OBJECTS_CONFIRMED: Objects
OBJECTS_ALL: Objects
DETECTOR_UNSPECIFIED: Detector
DETECTOR_CFAR: Detector

class Image(_message.Message):
    __slots__ = ("url", "data", "render", "more_urls")
    URL_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    RENDER_FIELD_NUMBER: _ClassVar[int]
    MORE_URLS_FIELD_NUMBER: _ClassVar[int]
    url: str
    data: bytes
    render: Render
    more_urls: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, url: _Optional[str] = ..., data: _Optional[bytes] = ..., render: _Optional[_Union[Render, _Mapping]] = ..., more_urls: _Optional[_Iterable[str]] = ...) -> None: ...

class Render(_message.Message):
    __slots__ = ("window", "bands", "preset", "filter", "scale", "stretch", "size", "bbox", "polygon", "calibration", "asset", "looks", "swath", "orient", "noise", "nodata", "boxes", "enlarge", "bursts")
    WINDOW_FIELD_NUMBER: _ClassVar[int]
    BANDS_FIELD_NUMBER: _ClassVar[int]
    PRESET_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    SCALE_FIELD_NUMBER: _ClassVar[int]
    STRETCH_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    BBOX_FIELD_NUMBER: _ClassVar[int]
    POLYGON_FIELD_NUMBER: _ClassVar[int]
    CALIBRATION_FIELD_NUMBER: _ClassVar[int]
    ASSET_FIELD_NUMBER: _ClassVar[int]
    LOOKS_FIELD_NUMBER: _ClassVar[int]
    SWATH_FIELD_NUMBER: _ClassVar[int]
    ORIENT_FIELD_NUMBER: _ClassVar[int]
    NOISE_FIELD_NUMBER: _ClassVar[int]
    NODATA_FIELD_NUMBER: _ClassVar[int]
    BOXES_FIELD_NUMBER: _ClassVar[int]
    ENLARGE_FIELD_NUMBER: _ClassVar[int]
    BURSTS_FIELD_NUMBER: _ClassVar[int]
    window: Window
    bands: _containers.RepeatedCompositeFieldContainer[Band]
    preset: Preset
    filter: Filter
    scale: Scale
    stretch: Stretch
    size: int
    bbox: BoundingBox
    polygon: str
    calibration: Calibration
    asset: str
    looks: Looks
    swath: str
    orient: Orient
    noise: Noise
    nodata: float
    boxes: Boxes
    enlarge: int
    bursts: Bursts
    def __init__(self, window: _Optional[_Union[Window, _Mapping]] = ..., bands: _Optional[_Iterable[_Union[Band, _Mapping]]] = ..., preset: _Optional[_Union[Preset, str]] = ..., filter: _Optional[_Union[Filter, str]] = ..., scale: _Optional[_Union[Scale, str]] = ..., stretch: _Optional[_Union[Stretch, _Mapping]] = ..., size: _Optional[int] = ..., bbox: _Optional[_Union[BoundingBox, _Mapping]] = ..., polygon: _Optional[str] = ..., calibration: _Optional[_Union[Calibration, str]] = ..., asset: _Optional[str] = ..., looks: _Optional[_Union[Looks, _Mapping]] = ..., swath: _Optional[str] = ..., orient: _Optional[_Union[Orient, str]] = ..., noise: _Optional[_Union[Noise, str]] = ..., nodata: _Optional[float] = ..., boxes: _Optional[_Union[Boxes, str]] = ..., enlarge: _Optional[int] = ..., bursts: _Optional[_Union[Bursts, str]] = ...) -> None: ...

class Looks(_message.Message):
    __slots__ = ("across", "down")
    ACROSS_FIELD_NUMBER: _ClassVar[int]
    DOWN_FIELD_NUMBER: _ClassVar[int]
    across: int
    down: int
    def __init__(self, across: _Optional[int] = ..., down: _Optional[int] = ...) -> None: ...

class BoundingBox(_message.Message):
    __slots__ = ("west", "south", "east", "north", "crs")
    WEST_FIELD_NUMBER: _ClassVar[int]
    SOUTH_FIELD_NUMBER: _ClassVar[int]
    EAST_FIELD_NUMBER: _ClassVar[int]
    NORTH_FIELD_NUMBER: _ClassVar[int]
    CRS_FIELD_NUMBER: _ClassVar[int]
    west: float
    south: float
    east: float
    north: float
    crs: str
    def __init__(self, west: _Optional[float] = ..., south: _Optional[float] = ..., east: _Optional[float] = ..., north: _Optional[float] = ..., crs: _Optional[str] = ...) -> None: ...

class Window(_message.Message):
    __slots__ = ("col", "row", "width", "height")
    COL_FIELD_NUMBER: _ClassVar[int]
    ROW_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    col: int
    row: int
    width: int
    height: int
    def __init__(self, col: _Optional[int] = ..., row: _Optional[int] = ..., width: _Optional[int] = ..., height: _Optional[int] = ...) -> None: ...

class Band(_message.Message):
    __slots__ = ("name", "number")
    NAME_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    name: str
    number: int
    def __init__(self, name: _Optional[str] = ..., number: _Optional[int] = ...) -> None: ...

class Stretch(_message.Message):
    __slots__ = ("low", "high")
    LOW_FIELD_NUMBER: _ClassVar[int]
    HIGH_FIELD_NUMBER: _ClassVar[int]
    low: float
    high: float
    def __init__(self, low: _Optional[float] = ..., high: _Optional[float] = ...) -> None: ...

class Question(_message.Message):
    __slots__ = ("question", "application", "id")
    QUESTION_FIELD_NUMBER: _ClassVar[int]
    APPLICATION_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    question: str
    application: Application
    id: str
    def __init__(self, question: _Optional[str] = ..., application: _Optional[_Union[Application, str]] = ..., id: _Optional[str] = ...) -> None: ...

class VqaRequest(_message.Message):
    __slots__ = ("model", "image", "questions", "max_tokens", "temperature", "seed", "context", "second_opinion", "cfar")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    QUESTIONS_FIELD_NUMBER: _ClassVar[int]
    MAX_TOKENS_FIELD_NUMBER: _ClassVar[int]
    TEMPERATURE_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    SECOND_OPINION_FIELD_NUMBER: _ClassVar[int]
    CFAR_FIELD_NUMBER: _ClassVar[int]
    model: str
    image: Image
    questions: _containers.RepeatedCompositeFieldContainer[Question]
    max_tokens: int
    temperature: float
    seed: int
    context: bool
    second_opinion: Detector
    cfar: Cfar
    def __init__(self, model: _Optional[str] = ..., image: _Optional[_Union[Image, _Mapping]] = ..., questions: _Optional[_Iterable[_Union[Question, _Mapping]]] = ..., max_tokens: _Optional[int] = ..., temperature: _Optional[float] = ..., seed: _Optional[int] = ..., context: _Optional[bool] = ..., second_opinion: _Optional[_Union[Detector, str]] = ..., cfar: _Optional[_Union[Cfar, _Mapping]] = ...) -> None: ...

class VqaResponse(_message.Message):
    __slots__ = ("answers",)
    ANSWERS_FIELD_NUMBER: _ClassVar[int]
    answers: _containers.RepeatedCompositeFieldContainer[Answer]
    def __init__(self, answers: _Optional[_Iterable[_Union[Answer, _Mapping]]] = ...) -> None: ...

class CaptionRequest(_message.Message):
    __slots__ = ("model", "image", "style", "context")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    STYLE_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    model: str
    image: Image
    style: Style
    context: bool
    def __init__(self, model: _Optional[str] = ..., image: _Optional[_Union[Image, _Mapping]] = ..., style: _Optional[_Union[Style, str]] = ..., context: _Optional[bool] = ...) -> None: ...

class CaptionResponse(_message.Message):
    __slots__ = ("answer",)
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    answer: Answer
    def __init__(self, answer: _Optional[_Union[Answer, _Mapping]] = ...) -> None: ...

class Answer(_message.Message):
    __slots__ = ("index", "id", "question", "application", "model", "image_id", "finding", "error", "acquisition", "radiometry", "cfar_targets", "cfar_agrees")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    QUESTION_FIELD_NUMBER: _ClassVar[int]
    APPLICATION_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    IMAGE_ID_FIELD_NUMBER: _ClassVar[int]
    FINDING_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    ACQUISITION_FIELD_NUMBER: _ClassVar[int]
    RADIOMETRY_FIELD_NUMBER: _ClassVar[int]
    CFAR_TARGETS_FIELD_NUMBER: _ClassVar[int]
    CFAR_AGREES_FIELD_NUMBER: _ClassVar[int]
    index: int
    id: str
    question: str
    application: Application
    model: str
    image_id: str
    finding: Finding
    error: Error
    acquisition: Acquisition
    radiometry: str
    cfar_targets: int
    cfar_agrees: bool
    def __init__(self, index: _Optional[int] = ..., id: _Optional[str] = ..., question: _Optional[str] = ..., application: _Optional[_Union[Application, str]] = ..., model: _Optional[str] = ..., image_id: _Optional[str] = ..., finding: _Optional[_Union[Finding, _Mapping]] = ..., error: _Optional[_Union[Error, _Mapping]] = ..., acquisition: _Optional[_Union[Acquisition, _Mapping]] = ..., radiometry: _Optional[str] = ..., cfar_targets: _Optional[int] = ..., cfar_agrees: _Optional[bool] = ...) -> None: ...

class Acquisition(_message.Message):
    __slots__ = ("item", "asset", "datetime", "start_datetime", "end_datetime", "platform", "constellation", "instrument_mode", "frequency_band", "polarizations", "product_type", "orbit_state", "relative_orbit", "pixel_spacing_range", "pixel_spacing_azimuth")
    ITEM_FIELD_NUMBER: _ClassVar[int]
    ASSET_FIELD_NUMBER: _ClassVar[int]
    DATETIME_FIELD_NUMBER: _ClassVar[int]
    START_DATETIME_FIELD_NUMBER: _ClassVar[int]
    END_DATETIME_FIELD_NUMBER: _ClassVar[int]
    PLATFORM_FIELD_NUMBER: _ClassVar[int]
    CONSTELLATION_FIELD_NUMBER: _ClassVar[int]
    INSTRUMENT_MODE_FIELD_NUMBER: _ClassVar[int]
    FREQUENCY_BAND_FIELD_NUMBER: _ClassVar[int]
    POLARIZATIONS_FIELD_NUMBER: _ClassVar[int]
    PRODUCT_TYPE_FIELD_NUMBER: _ClassVar[int]
    ORBIT_STATE_FIELD_NUMBER: _ClassVar[int]
    RELATIVE_ORBIT_FIELD_NUMBER: _ClassVar[int]
    PIXEL_SPACING_RANGE_FIELD_NUMBER: _ClassVar[int]
    PIXEL_SPACING_AZIMUTH_FIELD_NUMBER: _ClassVar[int]
    item: str
    asset: str
    datetime: str
    start_datetime: str
    end_datetime: str
    platform: str
    constellation: str
    instrument_mode: str
    frequency_band: str
    polarizations: _containers.RepeatedScalarFieldContainer[str]
    product_type: str
    orbit_state: str
    relative_orbit: int
    pixel_spacing_range: float
    pixel_spacing_azimuth: float
    def __init__(self, item: _Optional[str] = ..., asset: _Optional[str] = ..., datetime: _Optional[str] = ..., start_datetime: _Optional[str] = ..., end_datetime: _Optional[str] = ..., platform: _Optional[str] = ..., constellation: _Optional[str] = ..., instrument_mode: _Optional[str] = ..., frequency_band: _Optional[str] = ..., polarizations: _Optional[_Iterable[str]] = ..., product_type: _Optional[str] = ..., orbit_state: _Optional[str] = ..., relative_orbit: _Optional[int] = ..., pixel_spacing_range: _Optional[float] = ..., pixel_spacing_azimuth: _Optional[float] = ...) -> None: ...

class Finding(_message.Message):
    __slots__ = ("text", "value", "usage", "total_ms", "finish_reason", "refusal", "reasoning", "boxes")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    TOTAL_MS_FIELD_NUMBER: _ClassVar[int]
    FINISH_REASON_FIELD_NUMBER: _ClassVar[int]
    REFUSAL_FIELD_NUMBER: _ClassVar[int]
    REASONING_FIELD_NUMBER: _ClassVar[int]
    BOXES_FIELD_NUMBER: _ClassVar[int]
    text: str
    value: Value
    usage: Usage
    total_ms: float
    finish_reason: str
    refusal: str
    reasoning: str
    boxes: _containers.RepeatedCompositeFieldContainer[Box]
    def __init__(self, text: _Optional[str] = ..., value: _Optional[_Union[Value, _Mapping]] = ..., usage: _Optional[_Union[Usage, _Mapping]] = ..., total_ms: _Optional[float] = ..., finish_reason: _Optional[str] = ..., refusal: _Optional[str] = ..., reasoning: _Optional[str] = ..., boxes: _Optional[_Iterable[_Union[Box, _Mapping]]] = ...) -> None: ...

class Box(_message.Message):
    __slots__ = ("x", "y", "width", "height")
    X_FIELD_NUMBER: _ClassVar[int]
    Y_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    x: float
    y: float
    width: float
    height: float
    def __init__(self, x: _Optional[float] = ..., y: _Optional[float] = ..., width: _Optional[float] = ..., height: _Optional[float] = ...) -> None: ...

class Value(_message.Message):
    __slots__ = ("boolean", "integer", "class_name", "position", "text", "position_on_map")
    BOOLEAN_FIELD_NUMBER: _ClassVar[int]
    INTEGER_FIELD_NUMBER: _ClassVar[int]
    CLASS_NAME_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    POSITION_ON_MAP_FIELD_NUMBER: _ClassVar[int]
    boolean: bool
    integer: int
    class_name: str
    position: str
    text: str
    position_on_map: str
    def __init__(self, boolean: _Optional[bool] = ..., integer: _Optional[int] = ..., class_name: _Optional[str] = ..., position: _Optional[str] = ..., text: _Optional[str] = ..., position_on_map: _Optional[str] = ...) -> None: ...

class Usage(_message.Message):
    __slots__ = ("prompt_tokens", "completion_tokens")
    PROMPT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    COMPLETION_TOKENS_FIELD_NUMBER: _ClassVar[int]
    prompt_tokens: int
    completion_tokens: int
    def __init__(self, prompt_tokens: _Optional[int] = ..., completion_tokens: _Optional[int] = ...) -> None: ...

class Error(_message.Message):
    __slots__ = ("code", "message")
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    code: str
    message: str
    def __init__(self, code: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...

class SurveyRequest(_message.Message):
    __slots__ = ("model", "image", "questions", "tile", "overlap", "max_tokens", "temperature", "seed", "context", "objects", "gate", "second_opinion", "cfar")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    QUESTIONS_FIELD_NUMBER: _ClassVar[int]
    TILE_FIELD_NUMBER: _ClassVar[int]
    OVERLAP_FIELD_NUMBER: _ClassVar[int]
    MAX_TOKENS_FIELD_NUMBER: _ClassVar[int]
    TEMPERATURE_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    OBJECTS_FIELD_NUMBER: _ClassVar[int]
    GATE_FIELD_NUMBER: _ClassVar[int]
    SECOND_OPINION_FIELD_NUMBER: _ClassVar[int]
    CFAR_FIELD_NUMBER: _ClassVar[int]
    model: str
    image: Image
    questions: _containers.RepeatedCompositeFieldContainer[Question]
    tile: int
    overlap: int
    max_tokens: int
    temperature: float
    seed: int
    context: bool
    objects: Objects
    gate: Detector
    second_opinion: Detector
    cfar: Cfar
    def __init__(self, model: _Optional[str] = ..., image: _Optional[_Union[Image, _Mapping]] = ..., questions: _Optional[_Iterable[_Union[Question, _Mapping]]] = ..., tile: _Optional[int] = ..., overlap: _Optional[int] = ..., max_tokens: _Optional[int] = ..., temperature: _Optional[float] = ..., seed: _Optional[int] = ..., context: _Optional[bool] = ..., objects: _Optional[_Union[Objects, str]] = ..., gate: _Optional[_Union[Detector, str]] = ..., second_opinion: _Optional[_Union[Detector, str]] = ..., cfar: _Optional[_Union[Cfar, _Mapping]] = ...) -> None: ...

class Cfar(_message.Message):
    __slots__ = ("pfa", "guard", "training", "min_pixels")
    PFA_FIELD_NUMBER: _ClassVar[int]
    GUARD_FIELD_NUMBER: _ClassVar[int]
    TRAINING_FIELD_NUMBER: _ClassVar[int]
    MIN_PIXELS_FIELD_NUMBER: _ClassVar[int]
    pfa: float
    guard: int
    training: int
    min_pixels: int
    def __init__(self, pfa: _Optional[float] = ..., guard: _Optional[int] = ..., training: _Optional[int] = ..., min_pixels: _Optional[int] = ...) -> None: ...

class SurveyResponse(_message.Message):
    __slots__ = ("begun", "answer", "object")
    BEGUN_FIELD_NUMBER: _ClassVar[int]
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    OBJECT_FIELD_NUMBER: _ClassVar[int]
    begun: SurveyBegun
    answer: TileAnswer
    object: SurveyObject
    def __init__(self, begun: _Optional[_Union[SurveyBegun, _Mapping]] = ..., answer: _Optional[_Union[TileAnswer, _Mapping]] = ..., object: _Optional[_Union[SurveyObject, _Mapping]] = ...) -> None: ...

class SurveyObject(_message.Message):
    __slots__ = ("id", "class_name", "score", "source", "longitude", "latitude", "col", "row", "width", "height", "length_m", "contrast_db", "tile", "image_id", "question")
    ID_FIELD_NUMBER: _ClassVar[int]
    CLASS_NAME_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    LONGITUDE_FIELD_NUMBER: _ClassVar[int]
    LATITUDE_FIELD_NUMBER: _ClassVar[int]
    COL_FIELD_NUMBER: _ClassVar[int]
    ROW_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    LENGTH_M_FIELD_NUMBER: _ClassVar[int]
    CONTRAST_DB_FIELD_NUMBER: _ClassVar[int]
    TILE_FIELD_NUMBER: _ClassVar[int]
    IMAGE_ID_FIELD_NUMBER: _ClassVar[int]
    QUESTION_FIELD_NUMBER: _ClassVar[int]
    id: str
    class_name: str
    score: float
    source: str
    longitude: float
    latitude: float
    col: float
    row: float
    width: float
    height: float
    length_m: float
    contrast_db: float
    tile: int
    image_id: str
    question: str
    def __init__(self, id: _Optional[str] = ..., class_name: _Optional[str] = ..., score: _Optional[float] = ..., source: _Optional[str] = ..., longitude: _Optional[float] = ..., latitude: _Optional[float] = ..., col: _Optional[float] = ..., row: _Optional[float] = ..., width: _Optional[float] = ..., height: _Optional[float] = ..., length_m: _Optional[float] = ..., contrast_db: _Optional[float] = ..., tile: _Optional[int] = ..., image_id: _Optional[str] = ..., question: _Optional[str] = ...) -> None: ...

class SurveyBegun(_message.Message):
    __slots__ = ("survey", "tiles", "tile", "reduction")
    SURVEY_FIELD_NUMBER: _ClassVar[int]
    TILES_FIELD_NUMBER: _ClassVar[int]
    TILE_FIELD_NUMBER: _ClassVar[int]
    REDUCTION_FIELD_NUMBER: _ClassVar[int]
    survey: str
    tiles: int
    tile: int
    reduction: float
    def __init__(self, survey: _Optional[str] = ..., tiles: _Optional[int] = ..., tile: _Optional[int] = ..., reduction: _Optional[float] = ...) -> None: ...

class TileAnswer(_message.Message):
    __slots__ = ("tile", "window", "footprint", "answer", "confidence", "cfar_targets", "cfar_agrees", "objects")
    TILE_FIELD_NUMBER: _ClassVar[int]
    WINDOW_FIELD_NUMBER: _ClassVar[int]
    FOOTPRINT_FIELD_NUMBER: _ClassVar[int]
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    CFAR_TARGETS_FIELD_NUMBER: _ClassVar[int]
    CFAR_AGREES_FIELD_NUMBER: _ClassVar[int]
    OBJECTS_FIELD_NUMBER: _ClassVar[int]
    tile: int
    window: Window
    footprint: str
    answer: Answer
    confidence: float
    cfar_targets: int
    cfar_agrees: bool
    objects: int
    def __init__(self, tile: _Optional[int] = ..., window: _Optional[_Union[Window, _Mapping]] = ..., footprint: _Optional[str] = ..., answer: _Optional[_Union[Answer, _Mapping]] = ..., confidence: _Optional[float] = ..., cfar_targets: _Optional[int] = ..., cfar_agrees: _Optional[bool] = ..., objects: _Optional[int] = ...) -> None: ...
